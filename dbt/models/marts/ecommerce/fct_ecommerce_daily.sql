with summed as (
    select
        business_date,
        source_system,
        customs_office,
        supervision_mode,
        transport_mode,
        festival,
        is_festival,
        count(*) as lists,
        count(distinct buyer_id) as buyers,
        sum(total_value_cny) as total_value_cny,
        sum(tax_amount_cny) as tax_amount_cny,
        count(*) filter (where is_matched) as lists_matched,
        count(*) filter (where not is_matched) as lists_unmatched,
        count(*) filter (where is_over_transaction_limit) as lists_over_transaction_limit,
        count(*) filter (where is_over_annual_limit) as lists_over_annual_limit
    from {{ ref('fct_ecommerce_list') }}
    group by all
)

{{ conform('summed') }}
