with joined as (
    select
        lists.* exclude (total_value, tax_amount),
        lists.total_value as total_value_cny,
        lists.tax_amount as tax_amount_cny,
        coalesce(offices.name, lists.customs_office_code) as customs_office,
        coalesce(supervision_modes.name, lists.supervision_mode_code) as supervision_mode,
        coalesce(transport_modes.name, lists.transport_mode_code, 'Not stated') as transport_mode,
        coalesce(chapters.hs_chapter, substring(lists.hs6_code, 1, 2)) as hs_chapter,
        coalesce(countries.name, lists.origin_country_code) as origin_country,
        coalesce(festivals.festival, 'Ordinary day') as festival,
        festivals.festival is not null as is_festival,
        documents.has_order,
        documents.has_payment,
        documents.has_waybill,
        documents.paid_difference,
        documents.lists_of_order,
        documents.match_order,
        documents.match_result,
        documents.is_matched,
        quota.quota_year,
        quota.used_value_of_year as used_value_of_year_cny,
        quota.is_over_transaction_limit,
        quota.is_over_annual_limit
    from {{ ref('stg_ecommerce__list') }} as lists
    inner join {{ ref('int_ecommerce__three_documents') }} as documents on lists.list_no = documents.list_no
    inner join {{ ref('int_ecommerce__quota') }} as quota on lists.list_no = quota.list_no
    left join {{ ref('festivals') }} as festivals on lists.business_date = festivals.festival_date
    left join {{ ref('int_reference__chapters') }} as chapters on substring(lists.hs6_code, 1, 2) = chapters.chapter
    left join {{ ref('stg_reference__customs_office') }} as offices
        on {{ valid_on('offices', 'lists.customs_office_code', 'lists.business_date') }}
    left join {{ ref('stg_reference__supervision_mode') }} as supervision_modes
        on {{ valid_on('supervision_modes', 'lists.supervision_mode_code', 'lists.business_date') }}
    left join {{ ref('stg_reference__transport_mode') }} as transport_modes
        on {{ valid_on('transport_modes', 'lists.transport_mode_code', 'lists.business_date') }}
    left join {{ ref('stg_reference__country') }} as countries
        on {{ valid_on('countries', 'lists.origin_country_code', 'lists.business_date') }}
)

{{ conform('joined') }}
