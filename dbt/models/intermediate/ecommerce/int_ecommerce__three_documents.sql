-- Comparison of order, payment and waybill with each list. Rules of GACC announcement 2018/194 as the CEB messages
-- carry them: actual paid = goods + freight + tax - discount and equals the payment; buyer = payer; consignee's name,
-- phone and address equal the waybill's; one list per order; everything in CNY (142).
with joined as (
    select
        lists.list_no,
        orders.order_no is not null as has_order,
        payments.order_no is not null as has_payment,
        waybills.logistics_no is not null as has_waybill,
        orders.actual_paid - payments.amount_paid as paid_difference,
        orders.actual_paid - (orders.goods_value + orders.freight + orders.tax_total - orders.discount)
            as order_difference,
        orders.buyer_id = payments.payer_id
            and payments.payers <= 1
            and lists.buyer_id = orders.buyer_id as is_buyer_payer,
        coalesce(orders.consignee_name = waybills.consignee_name, true)
            and coalesce(orders.consignee_phone = waybills.consignee_phone, true)
            and coalesce(orders.consignee_address = waybills.consignee_address, true) as is_same_consignee,
        lists.currency_code = '142' and orders.currency_code = '142' and payments.is_cny as is_cny,
        count(*) over (partition by lists.platform_code, lists.order_no) as lists_of_order
    from {{ ref('stg_ecommerce__list') }} as lists
    left join {{ ref('stg_ecommerce__order') }} as orders
        on lists.platform_code = orders.platform_code and lists.order_no = orders.order_no
    left join {{ ref('int_ecommerce__payments') }} as payments
        on lists.platform_code = payments.platform_code and lists.order_no = payments.order_no
    left join {{ ref('stg_ecommerce__waybill') }} as waybills
        on lists.logistics_company_code = waybills.logistics_company_code
        and lists.logistics_no = waybills.logistics_no
),

judged as (
    select
        *,
        case
            when not has_order then 'order_missing'
            when not has_payment then 'payment_missing'
            when not has_waybill then 'waybill_missing'
            when abs(paid_difference) > 0.01 then 'amount_differs'
            when abs(order_difference) > 0.01 then 'order_does_not_add_up'
            when not is_buyer_payer then 'buyer_not_payer'
            when not is_same_consignee then 'consignee_differs'
            when lists_of_order > 1 then 'order_used_twice'
            when not is_cny then 'currency_not_cny'
            else 'matched'
        end as match_code
    from joined
)

select
    judged.list_no,
    judged.has_order,
    judged.has_payment,
    judged.has_waybill,
    judged.paid_difference,
    judged.lists_of_order,
    kinds.match_order,
    kinds.match_code,
    kinds.match_result,
    kinds.match_code = 'matched' as is_matched
from judged
inner join {{ ref('match_kinds') }} as kinds on judged.match_code = kinds.match_code
