{# The expression is true for every row; unknown (NULL) counts as true, as in the contracts. #}
{% test expression_holds(model, expression, column_name=none) %}
select *
from {{ model }}
where not coalesce({{ expression }}, true)
{% endtest %}
