-- Distribution of the hours of every step: medians and quantiles under any filter come from weighted classes of hours.
-- A step too few consignments finished in the month is counted under the first month of its quarter.
with {{ rail_steps() }},

steps as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        station,
        {{ goods_kind_words('goods_kind') }} as goods_kind,
        step_no,
        step,
        hours,
        target_hours,
        1 as records
    from measured
    where hours is not null
),

dated as (
    select
        * replace (
            case
                when count(*) over (partition by source_system, step_no, business_date) < {{ var('small_cell_minimum') }}
                    then cast(date_trunc('quarter', business_date) as date)
                else business_date
            end as business_date
        )
    from steps
),

{{ merge_small_cells(
    'dated', keep=['business_date', 'source_system', 'step_no', 'step'], dimensions=['goods_kind', 'station'],
    records='records'
) }},

summed as (
    select
        business_date,
        source_system,
        station,
        goods_kind,
        step_no,
        step,
        {{ rail_hours_class('greatest(0, hours)') }} as step_hours,
        count(*) as consignments,
        any_value(target_hours) as target_hours,
        count(*) filter (where hours < target_hours) as consignments_within_target,
        any_value(cell_records) as consignments_of_cell
    from merged
    group by
        business_date, source_system, station, goods_kind, step_no, step, {{ rail_hours_class('greatest(0, hours)') }}
)

{{ conform('summed') }}
