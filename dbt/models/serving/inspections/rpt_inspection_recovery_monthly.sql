with cells as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        customs_office,
        direction,
        transport_mode,
        coalesce(value_currency, 'Not stated') as value_currency,
        case when is_inspected then selected_by end as selected_by,
        count(*) as declarations,
        count(*) filter (where is_inspected) as inspected,
        count(*) filter (where is_violation) as violations,
        sum(recovered_duty) as recovered_duty
    from {{ ref('fct_declaration_selection') }}
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system', 'value_currency'],
    dimensions=['transport_mode', 'customs_office', 'direction'],
    records='declarations'
) }},

summed as (
    select
        business_date,
        source_system,
        customs_office,
        direction,
        transport_mode,
        value_currency,
        selected_by,
        cell_records as declarations,
        sum(inspected) as inspected,
        sum(violations) as violations,
        sum(recovered_duty) as recovered_duty
    from merged
    where selected_by is not null
    group by all
)

{{ conform('summed') }}
