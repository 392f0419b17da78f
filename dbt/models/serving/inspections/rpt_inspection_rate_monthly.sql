with cells as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        customs_district,
        customs_office,
        direction,
        transport_mode,
        supervision_mode,
        trader_status,
        count(*) as declarations,
        count(*) filter (where is_selected) as selected,
        count(*) filter (where is_inspected) as inspected,
        count(*) filter (where is_violation) as violations,
        count(*) filter (where is_violation and severity = 'Critical') as critical_violations,
        coalesce(sum(selection_prob), 0) as expected_selected
    from {{ ref('fct_declaration_selection') }}
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system'],
    dimensions=['supervision_mode', 'trader_status', 'transport_mode', 'customs_office', 'customs_district', 'direction'],
    records='declarations'
) }},

folded as (
    select
        business_date,
        source_system,
        supervision_mode,
        trader_status,
        transport_mode,
        customs_office,
        customs_district,
        direction,
        sum(declarations) as declarations,
        sum(selected) as selected,
        sum(inspected) as inspected,
        sum(violations) as violations,
        sum(critical_violations) as critical_violations,
        sum(expected_selected) as expected_selected
    from merged
    group by all
)

{{ conform('folded') }}
