{# Columns of fct_rail_consignment that hold the instants of the milestones M0 to M16, in that order. #}
{% macro rail_milestones() %}
    {{ return([
        'departed_abroad_at', 'manifest_sent_at', 'manifest_accepted_at', 'lodged_at', 'assessed_at', 'arrived_at',
        'scanned_at', 'instructed_at', 'started_at', 'finished_at', 'laboratory_at', 'pickup_allowed_at', 'released_at',
        'reloaded_at', 'departed_inland_at', 'complete_accepted_at', 'closed_at',
    ]) }}
{% endmacro %}
