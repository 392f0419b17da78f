with cells as (
    select
        business_date,
        source_system,
        customs_office,
        supervision_mode,
        transport_mode,
        festival,
        is_festival,
        lists,
        total_value_cny,
        tax_amount_cny,
        lists_matched,
        lists_unmatched,
        lists_over_transaction_limit,
        lists_over_annual_limit
    from {{ ref('fct_ecommerce_daily') }}
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system', 'festival', 'is_festival'],
    dimensions=['transport_mode', 'customs_office', 'supervision_mode'],
    records='lists'
) }},

folded as (
    select
        business_date,
        source_system,
        festival,
        is_festival,
        transport_mode,
        customs_office,
        supervision_mode,
        sum(lists) as lists,
        sum(total_value_cny) as total_value_cny,
        sum(tax_amount_cny) as tax_amount_cny,
        sum(lists_matched) as lists_matched,
        sum(lists_unmatched) as lists_unmatched,
        sum(lists_over_transaction_limit) as lists_over_transaction_limit,
        sum(lists_over_annual_limit) as lists_over_annual_limit
    from merged
    group by all
)

{{ conform('folded') }}
