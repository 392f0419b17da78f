{# Figures per period, place and kind of trader, cells of too few declarations merged: one shape for every model that
   counts declarations this way.

   relation:     one row per declaration
   period:       SQL that gives the period of a business date
   measures:     {name: SQL of an aggregate that can be summed over cells}; `declarations` always comes with it
   attributes:   {name: SQL} of what further splits the figures and identifies nobody, such as a reason: never merged
   where:        rows counted, default all
   shown:        rows kept after merging, default all
   declarations: SQL of the column `declarations` over merged cells; `cell_records` gives that of the whole cell #}
{% macro by_place_and_trader(
    relation, period, measures={}, attributes={}, where=none, shown=none, declarations='sum(declarations)'
) %}
{%- set dimensions = [
    'supervision_mode', 'trader_status', 'transport_mode', 'customs_office', 'customs_district', 'direction'
] -%}
with cells as (
    select
        {{ period }} as business_date,
        source_system,
        {{ dimensions | join(', ') }},
        {%- for name, sql in attributes.items() %}
        {{ sql }} as {{ name }},
        {%- endfor %}
        {%- for name, sql in measures.items() %}
        {{ sql }} as {{ name }},
        {%- endfor %}
        count(*) as declarations
    from {{ relation }}
    {%- if where %}
    where {{ where }}
    {%- endif %}
    group by all
),

{{ merge_small_cells('cells', keep=['business_date', 'source_system'], dimensions=dimensions, records='declarations') }},

summed as (
    select
        business_date,
        source_system,
        {{ (dimensions + attributes.keys() | list) | join(', ') }},
        {%- for name in measures %}
        sum({{ name }}) as {{ name }},
        {%- endfor %}
        any_value(cell_records) as declarations_of_cell,
        {{ declarations }} as declarations
    from merged
    {%- if shown %}
    where {{ shown }}
    {%- endif %}
    group by all
)

{{ conform('summed') }}
{% endmacro %}
