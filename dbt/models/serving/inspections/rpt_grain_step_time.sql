-- Hours per step of imported grain: medians and percentiles under any filter come from weighted classes of hours. A step
-- too few wagons finished in the month is counted under the first month of its quarter.
{%- set ladder = [
    (1, 'Arrival to surface quarantine', 'waiting_hours'),
    (2, 'Surface quarantine', 'surface_hours'),
    (3, 'Sampling', 'sampling_hours'),
    (4, 'Preliminary screening', 'screening_hours'),
    (5, 'Sample to laboratory result', 'laboratory_hours'),
    (6, 'Result to decision', 'decision_hours'),
    (7, 'Decision to treatment done', 'treatment_hours'),
    (8, 'Arrival to release', 'release_hours'),
] %}
with steps as (
    {%- for number, step, hours in ladder %}
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        station,
        {{ number }} as step_no,
        '{{ step }}' as step,
        {{ hours }} as hours,
        1 as records
    from {{ ref('fct_grain_wagon') }}
    where {{ hours }} is not null
    {{ 'union all' if not loop.last }}
    {%- endfor %}
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
    'dated', keep=['business_date', 'source_system', 'step_no', 'step'], dimensions=['station'], records='records'
) }},

summed as (
    select
        business_date,
        source_system,
        station,
        step_no,
        step,
        {{ rail_hours_class('greatest(0, hours)') }} as step_hours,
        count(*) as wagons,
        any_value(cell_records) as wagons_of_cell
    from merged
    group by business_date, source_system, station, step_no, step, {{ rail_hours_class('greatest(0, hours)') }}
)

{{ conform('summed') }}
