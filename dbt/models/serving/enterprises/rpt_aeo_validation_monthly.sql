with cells as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        case validation_kind when 'first' then 'First validation' when 'recheck' then 'Re-check' else 'Ad hoc' end
            as validation_kind,
        coalesce(region_code, 'Not stated') as region,
        count(*) as validations,
        count(*) filter (where is_passed) as passed,
        sum(days_to_decision) as days_to_decision_total
    from {{ ref('fct_aeo_validation') }}
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system'],
    dimensions=['region', 'validation_kind'],
    records='validations'
) }},

summed as (
    select
        business_date,
        source_system,
        validation_kind,
        region,
        sum(validations) as validations,
        sum(passed) as passed,
        sum(days_to_decision_total) as days_to_decision_total
    from merged
    group by all
)

{{ conform('summed') }}
