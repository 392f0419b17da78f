{# Clearance figures per period, the same for every length of it.
   day: SQL that gives the period of a business date. #}
{% macro clearance_by(day) %}
with cells as (
    select
        {{ day }} as business_date,
        source_system,
        customs_district,
        customs_office,
        direction,
        transport_mode,
        supervision_mode,
        trader_status,
        count(*) as declarations,
        count(*) filter (where declaration_mode = 'advance') as declarations_advance,
        count(*) filter (where declaration_mode = 'two_step') as declarations_two_step,
        count(*) filter (where was_rejected) as rejected,
        count(*) filter (where was_stopped) as inspected,
        count(*) filter (where release_hours is not null) as released,
        count(*) filter (where is_released_within_24h) as released_within_24h,
        coalesce(sum(release_hours), 0) as release_hours_total,
        count(*) filter (where arrival_to_release_hours is not null) as arrival_known,
        coalesce(sum(arrival_to_release_hours), 0) as arrival_to_release_hours_total,
        count(*) filter (where deadline_on is not null) as deadline_applies,
        count(*) filter (where is_late) as declared_late,
        coalesce(sum(late_days), 0) as late_days_total,
        sum(item_count) as items
    from {{ ref('fct_declaration') }}
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system'],
    dimensions=['supervision_mode', 'trader_status', 'transport_mode', 'customs_office', 'customs_district', 'direction'],
    records='declarations'
) }},

summed as (
    select
        business_date,
        source_system,
        customs_district,
        customs_office,
        direction,
        transport_mode,
        supervision_mode,
        trader_status,
        sum(columns(* exclude (
            business_date, source_system, customs_district, customs_office, direction, transport_mode,
            supervision_mode, trader_status, cell_records
        )))
    from merged
    group by all
)

{{ conform('summed') }}
{% endmacro %}
