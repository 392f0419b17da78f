{# Final select of a contract-enforced model: the columns of its YAML contract, in that order and of that type.
   Sums of integers are HUGEINT in DuckDB and sums of decimals grow, so every column is cast to what the contract says.
   In a unit test the contract is not in reach and the columns are taken as they are. #}
{% macro conform(relation) -%}
    {%- if execute and model.columns -%}
select
        {%- for column in model.columns.values() %}
    cast({{ adapter.quote(column.name) }} as {{ column.data_type }}) as {{ adapter.quote(column.name) }}{{ ',' if not loop.last }}
        {%- endfor %}
from {{ relation }}
    {%- else -%}
select * from {{ relation }}
    {%- endif %}
{%- endmacro %}
