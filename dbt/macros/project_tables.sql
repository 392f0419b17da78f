{# Names of what this project holds: datasets by name, silver tables as their contracts (rail.wagon). #}
{% macro project_tables() %}
    {%- set names = [] %}
    {%- if execute %}
        {%- for node in graph.nodes.values() if node.resource_type == 'model' %}{% do names.append(node.name) %}{% endfor %}
        {%- for node in graph.sources.values() %}{% do names.append(node.name | replace('__', '.', 1)) %}{% endfor %}
    {%- endif %}
    {{ return(names | sort) }}
{% endmacro %}
