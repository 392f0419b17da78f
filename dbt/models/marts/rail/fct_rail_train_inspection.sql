-- One row per train of minerals that was inspected: its wagons by check. A wagon the gate did not see is counted apart.
with summed as (
    select
        train_id,
        any_value(source_system) as source_system,
        min(business_date) as business_date,
        any_value(station) as station,
        string_agg(distinct material, ', ' order by material) as materials,
        count(*) filter (where matched_to_consist <> 'Not in the consist') as wagons_inspected,
        count(*) filter (where matched_to_consist = 'Not in the consist') as wagons_not_in_consist,
        count(*) filter (where is_abnormal) as wagons_abnormal,
        count(*) filter (where radiation_check = 'Abnormal') as radiation_abnormal,
        count(*) filter (where composition_check = 'Abnormal') as composition_abnormal,
        count(*) filter (where inclusion_check = 'Abnormal') as inclusion_abnormal,
        count(*) filter (where laboratory_verdict <> 'No result') as wagons_sampled,
        count(*) filter (where laboratory_verdict not in ('No result', 'As declared')) as samples_not_as_declared,
        avg(tfe_pct) as mean_tfe_pct,
        avg(declared_tfe_pct) as declared_tfe_pct,
        avg(closure_pct) as mean_closure_pct,
        min(first_read_at) as first_read_at,
        max(last_read_at) as last_read_at
    from {{ ref('fct_rail_wagon_inspection') }}
    group by train_id
),

joined as (
    select
        summed.*,
        trains.train_no,
        trains.wagon_count as wagons_in_consist,
        summed.wagons_abnormal > 0 as is_abnormal
    from summed
    left join {{ ref('stg_rail__train') }} as trains on summed.train_id = trains.train_id
)

{{ conform('joined') }}
