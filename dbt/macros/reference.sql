{# Join condition of a dated code list: the code as it was valid on that day. #}
{% macro valid_on(alias, code, day) -%}
    {{ alias }}.code = {{ code }}
    and {{ day }} >= {{ alias }}.valid_from
    and ({{ alias }}.valid_to is null or {{ day }} < {{ alias }}.valid_to)
{%- endmacro %}

{# Value of a dated parameter (seed `parameters`) on a day, as a scalar subquery. #}
{% macro parameter_on(name, day) -%}
    (
        select p.parameter_value from {{ ref('parameters') }} as p
        where p.parameter = '{{ name }}'
            and {{ day }} >= p.valid_from
            and (p.valid_to is null or {{ day }} < p.valid_to)
    )
{%- endmacro %}
