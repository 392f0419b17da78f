{# Join condition of a dated code list: the code as it was valid on that day. #}
{% macro valid_on(alias, code, day) -%}
    {{ alias }}.code = {{ code }}
    and {{ day }} >= {{ alias }}.valid_from
    and ({{ alias }}.valid_to is null or {{ day }} < {{ alias }}.valid_to)
{%- endmacro %}

{# Join condition of a dated parameter (seed `parameters`): the one of that name as it was valid on that day. #}
{% macro parameter_valid_on(alias, name, day) -%}
    {{ alias }}.parameter = '{{ name }}'
    and {{ day }} >= {{ alias }}.valid_from
    and ({{ alias }}.valid_to is null or {{ day }} < {{ alias }}.valid_to)
{%- endmacro %}

{# Value of a dated parameter on a day, as a scalar subquery. #}
{% macro parameter_on(name, day) -%}
    (select p.parameter_value from {{ ref('parameters') }} as p where {{ parameter_valid_on('p', name, day) }})
{%- endmacro %}
