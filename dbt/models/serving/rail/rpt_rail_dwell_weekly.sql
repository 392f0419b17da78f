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
        {{ rail_step_figures() }}
    from merged
    group by business_date, source_system, station, step_no, step
)

{{ conform('summed') }}
