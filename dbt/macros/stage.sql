{# Select every column of a silver table, typed as its contract says. The columns come from the generated source,
   so a new field of a contract arrives in staging without an edit here. #}
{% macro stage(domain, entity) %}
    {%- set table = domain ~ '__' ~ entity -%}
    {%- set relation = source('silver', table) -%}
    {%- if execute -%}
        {%- set node = graph.sources.values() | selectattr('name', 'equalto', table) | first -%}
select
        {%- for column in node.columns.values() %}
    cast({{ adapter.quote(column.name) }} as {{ column.data_type }}) as {{ adapter.quote(column.name) }}{{ ',' if not loop.last }}
        {%- endfor %}
    {%- else -%}
select *
    {%- endif %}
from {{ relation }}
{% endmacro %}
