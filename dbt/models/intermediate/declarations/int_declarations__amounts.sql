-- Amounts of a declaration from its goods items. Its principal goods are those of the most valuable item.
select
    declaration_no,
    count(*) as item_count,
    arg_max(value_currency_code, customs_value) as value_currency,
    sum(customs_value) as customs_value,
    sum(duty_amount) as duty_amount,
    sum(vat_amount) as vat_amount,
    sum({{ duty_and_tax('duty_amount', 'vat_amount') }}) as revenue_amount,
    arg_max(hs6_code, customs_value) as principal_hs6_code,
    substring(arg_max(hs6_code, customs_value), 1, 2) as principal_chapter,
    arg_max(origin_country_code, customs_value) as principal_origin_country_code
from {{ ref('stg_declarations__declaration_item') }}
group by declaration_no
