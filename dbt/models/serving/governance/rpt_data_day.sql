with days as (
    select
        'declarations' as subject,
        source_system,
        business_date
    from {{ ref('fct_declaration') }}
    union all
    select
        'ecommerce' as subject,
        source_system,
        business_date
    from {{ ref('fct_ecommerce_list') }}
    union all
    select
        'inspections' as subject,
        source_system,
        business_date
    from {{ ref('fct_inspection') }}
    union all
    select
        'enterprises' as subject,
        source_system,
        rank_since as business_date
    from {{ ref('dim_enterprise') }}
    union all
    select
        'rail' as subject,
        source_system,
        business_date
    from {{ ref('fct_rail_train') }}
),

summed as (
    select
        subject,
        source_system,
        min(business_date) as first_day,
        max(business_date) as last_day,
        count(*) as records
    from days
    group by all
)

{{ conform('summed') }}
