with joined as (
    select
        events.*,
        events.occurred_on as business_date,
        coalesce(statuses.name, events.status_code) as status,
        lag(events.occurred_at) over (partition by events.declaration_no order by events.event_seq) as previous_at
    from {{ ref('stg_declarations__declaration_event') }} as events
    left join {{ ref('stg_reference__receipt_status') }} as statuses
        on {{ valid_on('statuses', 'events.status_code', 'events.occurred_on') }}
),

measured as (
    select
        *,
        {{ hours_between('previous_at', 'occurred_at') }} as hours_since_previous
    from joined
)

{{ conform('measured') }}
