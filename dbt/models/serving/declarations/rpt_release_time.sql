with cells as (
    select
        cast(date_trunc('week', business_date) as date) as business_date,
        source_system,
        customs_district,
        customs_office,
        direction,
        transport_mode,
        supervision_mode,
        trader_status,
        {{ release_hours_class('release_hours') }} as release_hours,
        count(*) as declarations
    from {{ ref('fct_declaration') }}
    where release_hours is not null
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system'],
    dimensions=['supervision_mode', 'trader_status', 'transport_mode', 'customs_office', 'customs_district', 'direction'],
    records='declarations'
) }},

classed as (
    select
        business_date,
        source_system,
        customs_district,
        customs_office,
        direction,
        transport_mode,
        supervision_mode,
        trader_status,
        release_hours,
        cell_records as declarations_of_cell,
        sum(declarations) as declarations
    from merged
    group by all
)

{{ conform('classed') }}
