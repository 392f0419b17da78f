-- Where consignments wait: hours per step of the chain, station and week of arrival, as a Time Release Study reports them.
-- Unit of study is the consignment; a step that ends before it starts is counted apart, not as a wait.
{%- set ladder = [
    (1, 'Manifest sent to arrival', 'manifest_sent_at', 'arrived_at'),
    (2, 'Manifest accepted to declaration', 'manifest_accepted_at', 'lodged_at'),
    (3, 'Declaration to risk assessed', 'lodged_at', 'assessed_at'),
    (4, 'Arrival to scan', 'arrived_at', 'scanned_at'),
    (5, 'Instruction to inspection', 'instructed_at', 'started_at'),
    (6, 'Inspection', 'started_at', 'finished_at'),
    (7, 'Inspection to laboratory result', 'finished_at', 'laboratory_at'),
    (8, 'Arrival to pickup allowed', 'arrived_at', 'pickup_allowed_at'),
    (9, 'Pickup allowed to reloaded', 'pickup_allowed_at', 'reloaded_at'),
    (10, 'Reloaded to departure inland', 'reloaded_at', 'departed_inland_at'),
    (11, 'Port stay: arrival to departure inland', 'arrived_at', 'departed_inland_at'),
    (12, 'Pickup allowed to complete declaration', 'pickup_allowed_at', 'complete_accepted_at'),
] %}
with consignments as (
    select
        *,
        cast(date_trunc('week', business_date) as date) as week,
        {{ parameter_on('rail_port_stay_hours', 'business_date') }} as port_stay_target,
        {{ parameter_on('rail_declaration_hours', 'business_date') }} as declaration_target
    from {{ ref('fct_rail_consignment') }}
    where arrived_at is not null
),

measured as (
    {%- for number, step, start, finish in ladder %}
    select
        week as business_date,
        source_system,
        station,
        {{ number }} as step_no,
        '{{ step }}' as step,
        {{ hours_between(start, finish) }} as hours,
        {{ 'port_stay_target' if number == 11 else 'declaration_target' if number == 2 else 'null' }} as target_hours
    from consignments
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

steps as (
    select
        *,
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
