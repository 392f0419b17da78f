-- The short dated code lists in one place.
{%- set names = [
    'customs_office', 'transport_mode', 'supervision_mode', 'credit_rank', 'receipt_status', 'finding_type', 'country'
] %}
with lists as (
    {%- for name in names %}
    select
        '{{ name }}' as code_list,
        code,
        name,
        valid_from,
        valid_to
    from {{ ref('stg_reference__' ~ name) }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

{{ conform('lists') }}
