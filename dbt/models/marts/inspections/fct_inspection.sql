with joined as (
    select
        inspections.* exclude (severity, selected_by),
        inspections.inspected_on as business_date,
        declarations.business_date as declared_on,
        coalesce(offices.name, inspections.customs_office_code) as customs_office,
        coalesce(declarations.direction, 'Not stated') as direction,
        coalesce(declarations.transport_mode, 'Not stated') as transport_mode,
        coalesce(declarations.supervision_mode, 'Not stated') as supervision_mode,
        coalesce(declarations.trader_status, 'Unknown') as trader_status,
        declarations.trader_id,
        declarations.principal_hs_chapter as hs_chapter,
        {{ selected_by_words('inspections.selected_by') }} as selected_by,
        case
            when not inspections.is_violation then 'No violation'
            else coalesce(findings.name, inspections.finding_code, 'Kind not stated')
        end as finding,
        {{ severity_words('inspections.severity') }} as severity,
        inspections.value_currency_code as value_currency,
        {{ hours_between('inspections.started_at', 'inspections.finished_at') }} as inspection_hours,
        {{ hours_between('inspections.instructed_at', 'inspections.started_at') }} as waiting_hours
    from {{ ref('stg_inspections__inspection') }} as inspections
    left join {{ ref('fct_declaration') }} as declarations
        on inspections.declaration_no = declarations.declaration_no
    left join {{ ref('stg_reference__customs_office') }} as offices
        on {{ valid_on('offices', 'inspections.customs_office_code', 'inspections.inspected_on') }}
    left join {{ ref('stg_reference__finding_type') }} as findings
        on {{ valid_on('findings', 'inspections.finding_code', 'inspections.inspected_on') }}
)

{{ conform('joined') }}
