-- Finds by month of arrival, origin and species, among how many wagons examined. Finds never split a cell, so the small-cell
-- rule looks at the wagons alone; what was set aside for a break of custody is no find.
with wagons as (
    select
        wagon_id,
        {{ month_of('business_date') }} as business_date,
        source_system,
        origin,
        1 as records
    from {{ ref('fct_grain_wagon') }}
),

{{ merge_small_cells('wagons', keep=['business_date', 'source_system'], dimensions=['origin'], records='records') }},

summed as (
    select
        merged.business_date,
        merged.source_system,
        merged.origin,
        finds.species,
        finds.species_code,
        finds.pest_group,
        case when finds.is_regulated then 'Regulated' else 'Not regulated' end as regulation,
        finds.find_state,
        count(*) as finds,
        count(distinct finds.wagon_id) as wagons_with_find,
        count(*) filter (where finds.is_live) as finds_live,
        any_value(merged.cell_records) as wagons
    from merged
    inner join {{ ref('fct_grain_find') }} as finds
        on merged.wagon_id = finds.wagon_id and finds.find_state <> 'Set aside'
    group by all
)

{{ conform('summed') }}
