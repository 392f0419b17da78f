-- Credit record of each enterprise in the 24 months up to the as-of day, by what customs knew by then.
with bounds as (
    select
        as_of_date,
        as_of_date - interval 24 month as since
    from {{ ref('int_enterprises__as_of') }}
)

select
    events.trader_id,
    count(*) filter (where events.event_kind in ('penalty', 'smuggling', 'arrears')) as adverse_events_24m,
    count(*) filter (where events.event_kind = 'penalty') as penalties_24m,
    sum(events.amount) filter (where events.event_kind = 'penalty') as penalty_amount_24m,
    max(events.known_on) as last_credit_event_on
from {{ ref('stg_enterprises__credit_event') }} as events
cross join bounds
where events.known_on > bounds.since and events.known_on <= bounds.as_of_date
group by events.trader_id
