with declarations as (
    select * from {{ ref('stg_declarations__declaration') }}
),

timed as (
    select
        declarations.*,
        milestones.received_at,
        milestones.accepted_at,
        milestones.inspection_ordered_at,
        milestones.released_at,
        coalesce(milestones.was_rejected, false) as was_rejected,
        coalesce(milestones.was_inspected, false) as was_stopped,
        milestones.last_status_code,
        -- an import declared in advance waits for its goods first: customs' own time starts when both are there
        case
            when declarations.direction = 'I' and declarations.arrived_at > declarations.declared_at
                then declarations.arrived_at
            else declarations.declared_at
        end as clearance_started_at
    from declarations
    left join {{ ref('int_declarations__milestones') }} as milestones
        on declarations.declaration_no = milestones.declaration_no
),

measured as (
    select
        *,
        {{ waiting_hours('clearance_started_at', 'released_at') }} as release_hours,
        case when direction = 'I' then {{ waiting_hours('arrived_at', 'released_at') }} end as arrival_to_release_hours
    from timed
),

joined as (
    select
        measured.declaration_no,
        measured.source_system,
        measured.declared_on as business_date,
        {{ direction_words('measured.direction') }} as direction,
        measured.declaration_mode,
        measured.customs_office_code,
        coalesce(offices.name, measured.customs_office_code) as customs_office,
        coalesce(offices.district_name, 'Not stated') as customs_district,
        measured.port_code,
        measured.transport_mode_code,
        coalesce(transport_modes.name, measured.transport_mode_code) as transport_mode,
        measured.supervision_mode_code,
        coalesce(supervision_modes.name, measured.supervision_mode_code, 'Not stated') as supervision_mode,
        measured.trader_id,
        measured.declarant_id,
        measured.owner_id,
        coalesce(standing.trader_status, 'Unknown') as trader_status,
        standing.credit_rank,
        measured.dispatch_country_code,
        coalesce(countries.name, measured.dispatch_country_code) as dispatch_country,
        measured.incoterms_code,
        measured.conveyance_name,
        measured.container_no,
        measured.gross_mass_kg,
        measured.net_mass_kg,
        measured.package_count,
        measured.arrived_at,
        measured.declared_at,
        measured.received_at,
        measured.accepted_at,
        measured.inspection_ordered_at,
        measured.released_at,
        measured.last_status_code,
        coalesce(statuses.name, measured.last_status_code) as last_status,
        measured.was_rejected,
        measured.was_stopped,
        measured.release_hours,
        measured.release_hours <= 24 as is_released_within_24h,
        measured.arrival_to_release_hours,
        deadlines.deadline_on,
        deadlines.late_days,
        deadlines.is_late,
        deadlines.late_fee_amount,
        coalesce(amounts.item_count, 0) as item_count,
        amounts.value_currency,
        amounts.customs_value,
        amounts.duty_amount,
        amounts.vat_amount,
        amounts.revenue_amount,
        amounts.principal_hs6_code,
        coalesce(chapters.hs_chapter, amounts.principal_chapter) as principal_hs_chapter,
        coalesce(chapters.section_name, 'Not stated') as principal_hs_section,
        amounts.principal_origin_country_code
    from measured
    left join {{ ref('int_declarations__amounts') }} as amounts on measured.declaration_no = amounts.declaration_no
    left join {{ ref('int_declarations__deadlines') }} as deadlines
        on measured.declaration_no = deadlines.declaration_no
    left join {{ ref('int_declarations__trader_status') }} as standing
        on measured.declaration_no = standing.declaration_no
    left join {{ ref('int_reference__chapters') }} as chapters on amounts.principal_chapter = chapters.chapter
    left join {{ ref('stg_reference__customs_office') }} as offices
        on {{ valid_on('offices', 'measured.customs_office_code', 'measured.declared_on') }}
    left join {{ ref('stg_reference__transport_mode') }} as transport_modes
        on {{ valid_on('transport_modes', 'measured.transport_mode_code', 'measured.declared_on') }}
    left join {{ ref('stg_reference__supervision_mode') }} as supervision_modes
        on {{ valid_on('supervision_modes', 'measured.supervision_mode_code', 'measured.declared_on') }}
    left join {{ ref('stg_reference__country') }} as countries
        on {{ valid_on('countries', 'measured.dispatch_country_code', 'measured.declared_on') }}
    left join {{ ref('stg_reference__receipt_status') }} as statuses
        on {{ valid_on('statuses', 'measured.last_status_code', 'measured.declared_on') }}
)

{{ conform('joined') }}
