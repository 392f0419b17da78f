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
        case when is_inspected then selected_by end as selected_by,
        count(*) as declarations,
        count(*) filter (where is_inspected) as inspected,
        count(*) filter (where is_violation) as violations,
        count(*) filter (where is_violation and severity = 'Critical') as critical_violations,
        coalesce(sum(inspection_hours), 0) as inspection_hours_total,
        coalesce(sum(1 / selection_prob) filter (where is_inspected), 0) as population_weight,
        coalesce(sum(1 / selection_prob) filter (where is_violation), 0) as violation_weight
    from {{ ref('fct_declaration_selection') }}
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system'],
    dimensions=['supervision_mode', 'trader_status', 'transport_mode', 'customs_office', 'customs_district', 'direction'],
    records='declarations'
) }},

summed as (
    select
        business_date,
        source_system,
        customs_district,
        customs_office,
        direction,
        transport_mode,
        supervision_mode,
        trader_status,
        selected_by,
        cell_records as declarations,
        sum(inspected) as inspected,
        sum(violations) as violations,
        sum(critical_violations) as critical_violations,
        sum(inspection_hours_total) as inspection_hours_total,
        sum(population_weight) as population_weight,
        sum(violation_weight) as violation_weight
    from merged
    where selected_by is not null
    group by all
)

{{ conform('summed') }}
