with joined as (
    select
        items.*,
        items.declared_on as business_date,
        declarations.direction,
        declarations.customs_office,
        declarations.customs_district,
        declarations.transport_mode,
        declarations.supervision_mode,
        declarations.trader_status,
        goods.name as hs_name,
        coalesce(chapters.hs_chapter, substring(items.hs6_code, 1, 2)) as hs_chapter,
        coalesce(chapters.section_name, 'Not stated') as hs_section,
        coalesce(countries.name, items.origin_country_code) as origin_country,
        countries.region as origin_region,
        -- Korea codes agreement rates F…; China names the agreement, MFN is the ordinary rate
        case items.source_system
            when 'kcs' then coalesce(starts_with(items.preference_code, 'F'), false)
            else coalesce(items.preference_code <> 'MFN', false)
        end as has_preference,
        items.value_currency_code as value_currency,
        {{ duty_and_tax('items.duty_amount', 'items.vat_amount') }} as revenue_amount,
        cast(items.customs_value as double) / nullif(cast(items.net_mass_kg as double), 0) as value_per_kg
    from {{ ref('stg_declarations__declaration_item') }} as items
    inner join {{ ref('fct_declaration') }} as declarations on items.declaration_no = declarations.declaration_no
    left join {{ ref('int_reference__chapters') }} as chapters on substring(items.hs6_code, 1, 2) = chapters.chapter
    left join {{ ref('stg_reference__hs_code') }} as goods
        on {{ valid_on('goods', 'items.hs6_code', 'items.declared_on') }}
    left join {{ ref('stg_reference__country') }} as countries
        on {{ valid_on('countries', 'items.origin_country_code', 'items.declared_on') }}
)

{{ conform('joined') }}
