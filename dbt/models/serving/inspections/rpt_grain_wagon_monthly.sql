-- Wagons of grain by month of arrival, station and origin: what was examined, found, decided, and where custody broke.
with wagons as (
    select
        *,
        {{ month_of('business_date') }} as month_on,
        1 as records
    from {{ ref('fct_grain_wagon') }}
),

{{ merge_small_cells(
    'wagons', keep=['month_on', 'source_system'], dimensions=['origin', 'station'], records='records'
) }},

summed as (
    select
        month_on as business_date,
        source_system,
        station,
        origin,
        count(*) as wagons,
        count(sampling_finished_at) as wagons_sampled,
        count(*) filter (where not has_enough_increments or not is_aggregate_consistent) as wagons_poorly_sampled,
        count(*) filter (where laboratory_samples > 0) as wagons_to_laboratory,
        count(custody_gap) as wagons_with_custody_gap,
        count(*) filter (where regulated_finds > 0) as wagons_with_regulated_find,
        count(*) filter (where decision = 'Release') as wagons_released,
        count(*) filter (where decision = 'Release with conditions') as wagons_released_with_conditions,
        count(*) filter (where decision = 'Return') as wagons_returned,
        count(*) filter (where decision = 'Destroy') as wagons_destroyed,
        count(*) filter (where decision = 'Not decided') as wagons_undecided,
        count(*) filter (where is_released_with_open_find) as wagons_released_with_open_find
    from merged
    group by month_on, source_system, station, origin
)

{{ conform('summed') }}
