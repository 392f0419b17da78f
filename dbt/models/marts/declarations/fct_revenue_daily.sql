with summed as (
    select
        business_date,
        source_system,
        customs_district,
        customs_office,
        direction,
        transport_mode,
        supervision_mode,
        hs_section,
        hs_chapter,
        value_currency,
        count(distinct declaration_no) as declarations,
        count(*) as items,
        sum(customs_value) as customs_value,
        sum(duty_amount) as duty_amount,
        sum(vat_amount) as vat_amount,
        sum(revenue_amount) as revenue_amount
    from {{ ref('fct_declaration_item') }}
    group by all
)

{{ conform('summed') }}
