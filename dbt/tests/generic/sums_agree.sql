{# A measure adds up to the same total as in another model: nothing lost, nothing counted twice.
   at_most: the small-cell rule may withhold rows here, so less is allowed and more is not. #}
{% test sums_agree(model, expression, other, other_expression, tolerance=0.01, at_most=false) %}
select *
from (
    select
        (select coalesce({{ expression }}, 0) from {{ model }}) as here,
        (select coalesce({{ other_expression }}, 0) from {{ other }}) as there
)
where here - there > {{ tolerance }}
{%- if not at_most %} or there - here > {{ tolerance }}{% endif %}
{% endtest %}
