-- Where consignments wait: hours per step of the chain, station and week of arrival, as a Time Release Study reports them.
-- Unit of study is the consignment; a step that ends before it starts is counted apart, not as a wait.
with {{ rail_steps() }},

steps as (
    select
        cast(date_trunc('week', business_date) as date) as business_date,
        source_system,
        station,
        step_no,
        step,
        hours,
        target_hours,
        1 as records
    from measured
    where hours is not null
),

{{ merge_small_cells(
    'steps', keep=['business_date', 'source_system', 'step_no', 'step'], dimensions=['station'], records='records'
) }},

summed as (
    select
        business_date,
        source_system,
        station,
        step_no,
        step,
        count(*) as consignments,
        count(*) filter (where hours < 0) as consignments_out_of_order,
        avg(greatest(0, hours)) as hours_mean,
        stddev_samp(greatest(0, hours)) as hours_deviation,
        median(greatest(0, hours)) as hours_median,
        quantile_cont(greatest(0, hours), 0.9) as hours_p90,
        any_value(target_hours) as target_hours,
        count(*) filter (where hours < target_hours) as consignments_within_target
    from merged
    group by business_date, source_system, station, step_no, step
)

{{ conform('summed') }}
