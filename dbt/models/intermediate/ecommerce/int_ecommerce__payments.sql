-- What was paid for each order, by whom: an order may be paid in several transactions.
select
    platform_code,
    order_no,
    sum(amount_paid) as amount_paid,
    min(payer_id) as payer_id,
    count(distinct payer_id) as payers,
    bool_and(currency_code = '142') as is_cny,
    count(*) as payments
from {{ ref('stg_ecommerce__payment') }}
group by platform_code, order_no
