-- One row per inspection instruction with what was answered and how long it took.
with joined as (
    select
        orders.instruction_id,
        orders.train_id,
        orders.waybill_no,
        orders.source_system,
        orders.instructed_on as business_date,
        coalesce(stations.name, orders.station_code) as station,
        orders.position,
        orders.wagon_no,
        orders.recipient_kind,
        orders.instruction_kind,
        orders.selected_by,
        case
            when orders.is_refused then 'Refused'
            when orders.result_at is not null then 'Result'
            when orders.started_at is not null then 'Started'
            when orders.shunted_at is not null then 'Shunted'
            when orders.answered_at is not null then 'Accepted'
            else 'Not answered'
        end as instruction_state,
        orders.outcome_code as outcome,
        orders.instructed_at,
        orders.answer_due_at,
        orders.answered_at,
        orders.shunted_at,
        orders.started_at,
        orders.result_at,
        {{ hours_between('orders.instructed_at', 'orders.answered_at') }} as answer_hours,
        {{ hours_between('orders.instructed_at', 'orders.started_at') }} as start_hours,
        {{ hours_between('orders.instructed_at', 'orders.result_at') }} as result_hours,
        coalesce(orders.answered_at <= orders.answer_due_at, false) as is_answered_in_time
    from {{ ref('int_rail__instructions') }} as orders
    left join {{ ref('stg_reference__rail_station') }} as stations
        on {{ valid_on('stations', 'orders.station_code', 'orders.instructed_on') }}
)

{{ conform('joined') }}
