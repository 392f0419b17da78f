{# Hours per step of the rail chain, of consignments that arrived: the CTEs `consignments` and `measured`, one row per
   consignment and step; hours are unknown while a step is not finished, negative where it ends before it starts. #}
{% macro rail_steps() %}
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
consignments as (
    select
        *,
        {{ parameter_on('rail_port_stay_hours', 'business_date') }} as port_stay_target,
        {{ parameter_on('rail_declaration_hours', 'business_date') }} as declaration_target
    from {{ ref('fct_rail_consignment') }}
    where arrived_at is not null
),

measured as (
    {%- for number, step, start, finish in ladder %}
    select
        business_date,
        source_system,
        station,
        goods_kind,
        lane,
        trader_status,
        is_advance,
        {{ number }} as step_no,
        '{{ step }}' as step,
        {{ hours_between(start, finish) }} as hours,
        {{ 'port_stay_target' if number == 11 else 'declaration_target' if number == 2 else 'null' }} as target_hours
    from consignments
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)
{% endmacro %}

{#- Figures of a Time Release Study (WCO guide, version 4) over rows of rail_steps; a step that ends before it starts is
counted apart and waits no time. #}
{% macro rail_step_figures() -%}
count(*) as consignments,
        count(*) filter (where hours < 0) as consignments_out_of_order,
        avg(greatest(0, hours)) as hours_mean,
        stddev_samp(greatest(0, hours)) as hours_deviation,
        median(greatest(0, hours)) as hours_median,
        quantile_cont(greatest(0, hours), 0.9) as hours_p90,
        any_value(target_hours) as target_hours,
        count(*) filter (where hours < target_hours) as consignments_within_target
{%- endmacro %}
