{# Rows of every quarantine table there is, without the original text. A contract that never set a row aside may have
   no table yet, so the tables are looked up when the model runs. #}
{% macro quarantine_rows() -%}
    {%- set columns = 'business_date, contract_id, source_system, rule_ids' -%}
    {%- set tables = [] -%}
    {%- if execute and flags.WHICH not in ('generate', 'compile') -%}
        {%- set logs = run_query(
            "select distinct split_part(file, '/_delta_log/', 1) from glob('"
            ~ env_var('DBT_CUSTOMS_LAKE') ~ "/quarantine/*/_delta_log/*.json')"
        ) -%}
        {%- for row in logs.rows %}{% do tables.append(row[0]) %}{% endfor -%}
    {%- endif -%}
    {%- if execute and flags.WHICH in ('generate', 'compile') -%}
        {#- nothing runs: name every table there can be, so that lineage sees what the model is made of -#}
        {%- for node in graph.sources.values() if node.source_name == 'quarantine' -%}
            {%- do tables.append(env_var('DBT_CUSTOMS_LAKE') ~ '/quarantine/' ~ node.name | replace('__quarantine', '')) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- for table in tables %}
    select {{ columns }} from delta_scan('{{ table }}')
    union all
    {%- endfor %}
    select
        cast(null as date) as business_date,
        cast(null as varchar) as contract_id,
        cast(null as varchar) as source_system,
        cast(null as varchar) as rule_ids
    where false
{%- endmacro %}

{# Layer, domain, dataset, column, grade, category of every documented column. #}
{% macro graded_columns() -%}
    {%- set known = [] -%}
    {%- if execute -%}
        {%- for node in graph.sources.values() -%}
            {%- for column in node.columns.values() -%}
                {%- do known.append(('silver', node.name.split('__')[0], node.name, column)) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.fqn[1] in ('marts', 'serving') -%}
            {%- for column in node.columns.values() -%}
                {%- do known.append((node.fqn[1], node.fqn[2], node.name, column)) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    select *
    from (
        values
        {%- for layer, domain, dataset, column in known %}
            {%- set meta = column.config.meta if column.config and column.config.meta else column.meta %}
        (
            '{{ layer }}', '{{ domain }}', '{{ dataset }}', '{{ column.name }}',
            {{ "'" ~ meta.grade ~ "'" if meta.grade else 'null' }},
            {{ "'" ~ meta.category ~ "'" if meta.category else 'null' }},
            '{{ meta.personal_information or "none" }}',
            {{ 'true' if column.description else 'false' }}
        ),
        {%- endfor %}
        (null, null, null, null, null, null, null, null)
    ) as known (layer, domain, dataset, column_name, grade, category, personal_information, is_described)
    where layer is not null
{%- endmacro %}

{# Table of silver and its domain for a contract id; a contract's table is named <domain>__<entity>. #}
{% macro dataset_of(contract_id) -%}
    replace({{ contract_id }}, '.', '__')
{%- endmacro %}

{% macro domain_of(contract_id) -%}
    split_part({{ contract_id }}, '.', 1)
{%- endmacro %}
