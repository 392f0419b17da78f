-- One row per event of the rail chain, whatever feed brought it: the envelope of EPCIS 2.0 (what, when, where, why) with the
-- codes the standards have for the step.
with dated as (
    select
        *,
        cast(occurred_at at time zone '{{ var("office_time_zone") }}' as date) as business_date
    from {{ ref('int_rail__events') }}
),

joined as (
    select
        events.event_id,
        events.chain_id,
        events.scenario_no,
        scenarios.name as scenario,
        steps.step_kind,
        events.subject_kind,
        events.subject_id,
        events.step_code,
        coalesce('Receipt: ' || lower(receipts.name), steps.name, events.step_code) as step,
        events.status,
        events.emitter,
        coalesce(stations.name, events.station_code) as station,
        events.business_date,
        events.occurred_at,
        events.known_at,
        epoch(events.known_at) - epoch(events.occurred_at) as known_after_seconds,
        events.message_no,
        events.message_seq,
        events.source_system,
        steps.business_step,
        steps.disposition,
        steps.transport_status,
        coalesce(receipts.processing_indicator, steps.processing_indicator) as processing_indicator
    from dated as events
    left join {{ ref('stg_reference__rail_step') }} as steps
        on {{ valid_on('steps', 'events.step_code', 'events.business_date') }}
    left join {{ ref('stg_reference__receipt_status') }} as receipts
        on events.step_code = 'RECEIPT' and {{ valid_on('receipts', 'events.status', 'events.business_date') }}
    left join {{ ref('stg_reference__rail_scenario') }} as scenarios
        on {{ valid_on('scenarios', 'cast(events.scenario_no as varchar)', 'events.business_date') }}
    left join {{ ref('stg_reference__rail_station') }} as stations
        on {{ valid_on('stations', 'events.station_code', 'events.business_date') }}
)

{{ conform('joined') }}
