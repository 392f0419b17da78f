-- One row per package unit treated specially: mark, certificate, treatment, hours against a full opening, violations.
with joined as (
    select
        packages.package_id,
        packages.train_id,
        packages.position,
        packages.container_no,
        packages.source_system,
        packages.arrived_on as business_date,
        coalesce(stations.name, packages.station_code) as station,
        packages.trader_id,
        packages.is_registered,
        coalesce(types.name, packages.package_type_code) as package_type,
        {{ package_kind_words('packages.package_kind') }} as package_kind,
        packages.package_count,
        packages.gross_mass_kg,
        packages.un_no,
        packages.packing_group,
        packages.mark_text,
        packages.is_mark_valid,
        packages.is_group_covered,
        packages.marked_gross_kg,
        packages.is_gross_covered,
        packages.made_in_year,
        packages.is_young_enough,
        packages.certificate_no,
        packages.certificate_valid_until,
        packages.certificate_registered_until,
        packages.certificate_state,
        case packages.border_treatment_code
            when 'exempt' then 'Exempt from opening' when 'destination' then 'Inspect at destination'
            when 'non_intrusive' then 'Non-intrusive only' else 'Full'
        end as border_treatment,
        case packages.border_treatment_reason_code
            when 'registered_enterprise' then 'Registered enterprise' when 'must_stay_closed' then 'Must stay closed'
            when 'marks_in_order' then 'Marks in order' when 'mark_fault' then 'Mark at fault'
            when 'certificate_expired' then 'Certificate expired' when 'random' then 'Random' else 'Risk'
        end as border_treatment_reason,
        packages.arrived_at,
        packages.decided_at,
        packages.port_started_at,
        packages.port_finished_at,
        packages.destination_finished_at,
        packages.is_opened_at_port,
        packages.is_opened_without_order,
        {{ hours_between('packages.port_started_at', 'packages.port_finished_at') }} as port_hours,
        packages.full_opening_hours,
        -- against the hours a full opening takes (dated parameter); what was opened saved nothing
        case
            when packages.is_opened_at_port then 0
            else packages.full_opening_hours
                - {{ hours_between('packages.port_started_at', 'packages.port_finished_at') }}
        end as hours_saved,
        case packages.violation_code
            when 'mark_missing' then 'Mark missing' when 'mark_wrong' then 'Mark wrong' when 'live_pest' then 'Live pest'
            when 'damaged' then 'Damaged' when 'undeclared' then 'Undeclared' when 'goods_differ' then 'Goods differ'
        end as violation,
        case packages.violation_stage
            when 'port' then 'Port' when 'destination' then 'Destination' when 'after_release' then 'After release'
        end as violation_stage,
        packages.violation_found_on,
        packages.violation_found_on - packages.arrived_on as days_to_find
    from {{ ref('int_inspections__packages') }} as packages
    left join {{ ref('stg_reference__rail_station') }} as stations
        on {{ valid_on('stations', 'packages.station_code', 'packages.arrived_on') }}
    left join {{ ref('stg_reference__package_type') }} as types
        on {{ valid_on('types', 'packages.package_type_code', 'packages.arrived_on') }}
)

{{ conform('joined') }}
