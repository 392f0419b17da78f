{# Periods [valid_from, valid_to) of one key do not overlap. #}
{% test periods_do_not_overlap(model, key, valid_from='valid_from', valid_to='valid_to') %}
select *
from (
    select
        {{ key }},
        {{ valid_from }},
        {{ valid_to }},
        lead({{ valid_from }}) over (partition by {{ key }} order by {{ valid_from }}) as next_from
    from {{ model }}
)
where next_from is not null and ({{ valid_to }} is null or {{ valid_to }} > next_from)
{% endtest %}
