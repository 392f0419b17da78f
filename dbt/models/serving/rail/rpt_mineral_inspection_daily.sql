-- Minerals inspected by day of arrival, station and declared mineral: wagons by check. Small-cell rule on the wagons.
with newest as (
    select
        source_system,
        max(business_date) as newest_on
    from {{ ref('fct_rail_train_inspection') }}
    group by source_system
),

read_wagons as (
    select
        *,
        count(*) over (partition by train_id, material) as wagons_alike
    from {{ ref('fct_rail_wagon_inspection') }}
),

wagons as (
    select
        wagons.business_date,
        wagons.source_system,
        wagons.station,
        wagons.material,
        1 as records,
        -- a train of several minerals counts with the one most of its wagons hold: three odd wagons would be withheld
        row_number() over (partition by wagons.train_id order by wagons.wagons_alike desc, wagons.position) = 1
            as is_first_of_train,
        trains.is_abnormal as is_train_abnormal,
        wagons.is_abnormal,
        wagons.radiation_check,
        wagons.composition_check,
        wagons.inclusion_check,
        wagons.laboratory_verdict,
        wagons.closure_pct,
        wagons.flags,
        wagons.business_date = newest.newest_on as is_newest_day
    from read_wagons as wagons
    inner join {{ ref('fct_rail_train_inspection') }} as trains on wagons.train_id = trains.train_id
    inner join newest on wagons.source_system = newest.source_system
),

{{ merge_small_cells(
    'wagons', keep=['business_date', 'source_system'], dimensions=['material', 'station'], records='records'
) }},

summed as (
    select
        business_date,
        source_system,
        station,
        material,
        any_value(is_newest_day) as is_newest_day,
        count(*) as wagons,
        count(*) filter (where is_first_of_train) as trains,
        count(*) filter (where is_first_of_train and is_train_abnormal) as trains_abnormal,
        count(*) filter (where is_abnormal) as wagons_abnormal,
        {%- for check in ['radiation', 'composition', 'inclusion'] %}
        count(*) filter (where {{ check }}_check <> 'Not read') as {{ check }}_read,
        count(*) filter (where {{ check }}_check = 'Abnormal') as {{ check }}_abnormal,
        {%- endfor %}
        count(*) filter (where laboratory_verdict <> 'No result') as wagons_sampled,
        count(*) filter (where laboratory_verdict not in ('No result', 'As declared')) as samples_not_as_declared,
        count(closure_pct) as analyses,
        coalesce(sum(closure_pct), 0) as closure_total,
        count(*) filter (where flags is not null) as wagons_flagged
    from merged
    group by business_date, source_system, station, material
)

{{ conform('summed') }}
