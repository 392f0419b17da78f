-- One row per declaration, chosen or not: the base of every rate.
with joined as (
    select
        declarations.declaration_no,
        declarations.source_system,
        declarations.business_date,
        declarations.customs_district,
        declarations.customs_office,
        declarations.direction,
        declarations.transport_mode,
        declarations.supervision_mode,
        declarations.trader_status,
        declarations.principal_hs_section as hs_section,
        declarations.principal_hs_chapter as hs_chapter,
        coalesce(selections.is_selected, outcomes.declaration_no is not null) as is_selected,
        case
            when coalesce(selections.is_selected, outcomes.declaration_no is not null)
                then {{ selected_by_words('coalesce(selections.selected_by, outcomes.selected_by)') }}
        end as selected_by,
        coalesce(selections.selection_prob, outcomes.selection_prob) as selection_prob,
        selections.policy_version,
        outcomes.declaration_no is not null as is_inspected,
        outcomes.is_violation,
        {{ severity_words('outcomes.severity') }} as severity,
        outcomes.inspection_hours,
        outcomes.recovered_duty,
        declarations.value_currency,
        outcomes.label_available_on
    from {{ ref('fct_declaration') }} as declarations
    left join {{ ref('stg_inspections__selection') }} as selections
        on declarations.declaration_no = selections.declaration_no
    left join {{ ref('int_inspections__by_declaration') }} as outcomes
        on declarations.declaration_no = outcomes.declaration_no
)

{{ conform('joined') }}
