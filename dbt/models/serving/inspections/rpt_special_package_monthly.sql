-- Packages treated specially by month of arrival, station, kind, treatment and reason: hours at the port against a full
-- opening, and what was found where. The small-cell rule looks at the packages of a kind; how each was treated never splits a cell.
with packages as (
    select
        *,
        {{ month_of('business_date') }} as month_on,
        1 as records
    from {{ ref('fct_special_package') }}
),

{{ merge_small_cells(
    'packages', keep=['month_on', 'source_system'], dimensions=['package_kind', 'station'], records='records'
) }},

summed as (
    select
        month_on as business_date,
        source_system,
        station,
        package_kind,
        border_treatment,
        border_treatment_reason,
        count(*) as packages,
        count(*) filter (where is_registered) as packages_registered,
        count(*) filter (where is_opened_at_port) as packages_opened,
        count(*) filter (where is_opened_without_order) as packages_opened_without_order,
        count(*) filter (where is_mark_valid is not null) as packages_with_mark_rule,
        count(*) filter (where not is_mark_valid) as packages_mark_at_fault,
        count(*) filter (where certificate_state <> 'None') as packages_with_certificate,
        count(*) filter (where certificate_state not in ('None', 'Valid')) as packages_certificate_invalid,
        sum(port_hours) as port_hours_total,
        sum(full_opening_hours) as full_opening_hours_total,
        sum(hours_saved) as hours_saved_total,
        count(*) filter (where violation_stage = 'Port') as violations_at_port,
        count(*) filter (where violation_stage = 'Destination') as violations_at_destination,
        count(*) filter (where violation_stage = 'After release') as violations_after_release,
        any_value(cell_records) as packages_of_cell
    from merged
    group by month_on, source_system, station, package_kind, border_treatment, border_treatment_reason
)

{{ conform('summed') }}
