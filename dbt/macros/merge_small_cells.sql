{# Merge cells that stand for fewer records than `small_cell_minimum` (k of policy.yaml) into 'Other', so that totals stay
   all but complete and no published row can be traced to a few traders. Ends in the CTE `merged`: the rows of `relation` with
   merged dimensions and `cell_records`, the records of their cell; group it afterwards.

   relation:   CTE at the grain of the cells or finer (attributes that do not identify, such as a reason, stay as they are)
   keep:       columns never merged (period, source, currency)
   dimensions: text columns merged, the first one first; a cell still too small after the last one is withheld
   records:    column that says how many records a row stands for #}
{% macro merge_small_cells(relation, keep, dimensions, records) %}
    {%- set cell = (keep + dimensions) | join(', ') -%}
    {%- for dimension in dimensions %}
merged_{{ loop.index }} as (
    select
        * replace (
            case when sum({{ records }}) over (partition by {{ cell }}) < {{ var('small_cell_minimum') }} then 'Other'
            else {{ dimension }} end as {{ dimension }}
        )
    from {{ relation if loop.first else 'merged_' ~ loop.index0 }}
),
    {%- endfor %}

merged as (
    select
        *,
        sum({{ records }}) over (partition by {{ cell }}) as cell_records
    from merged_{{ dimensions | length }}
    qualify cell_records >= {{ var('small_cell_minimum') }}
)
{%- endmacro %}
