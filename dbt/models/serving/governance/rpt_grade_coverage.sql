-- Columns by grade: those of silver, marts and serving as they are described, and those a live table has beside them.
with described as (
    select
        layer,
        domain,
        dataset,
        coalesce(grade, 'None') as grade,
        personal_information,
        count(*) as columns_counted,
        count(*) filter (where not is_described) as columns_undescribed
    from {{ ref('dim_column_grade') }}
    group by all
),

unknown as (
    select
        'silver' as layer,
        {{ domain_of('contract_id') }} as domain,
        {{ dataset_of('contract_id') }} as dataset,
        'None' as grade,
        'none' as personal_information,
        columns_unknown as columns_counted,
        columns_unknown as columns_undescribed
    from {{ ref('stg_governance__contract_state') }}
    where columns_unknown > 0
    qualify state_date = max(state_date) over ()
),

counted as (
    select * from described
    union all by name
    select * from unknown
)

{{ conform('counted') }}
