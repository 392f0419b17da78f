{# Clearance figures per period, the same for every length of it.
   day: SQL that gives the period of a business date. #}
{% macro clearance_by(day) %}
{{ by_place_and_trader(
    ref('fct_declaration'),
    day,
    measures={
        'declarations_advance': "count(*) filter (where declaration_mode = 'advance')",
        'declarations_two_step': "count(*) filter (where declaration_mode = 'two_step')",
        'rejected': 'count(*) filter (where was_rejected)',
        'inspected': 'count(*) filter (where was_stopped)',
        'released': 'count(*) filter (where release_hours is not null)',
        'released_within_24h': 'count(*) filter (where is_released_within_24h)',
        'release_hours_total': 'coalesce(sum(release_hours), 0)',
        'arrival_known': 'count(*) filter (where arrival_to_release_hours is not null)',
        'arrival_to_release_hours_total': 'coalesce(sum(arrival_to_release_hours), 0)',
        'deadline_applies': 'count(*) filter (where deadline_on is not null)',
        'declared_late': 'count(*) filter (where is_late)',
        'late_days_total': 'coalesce(sum(late_days), 0)',
        'items': 'sum(item_count)',
    }
) }}
{% endmacro %}
