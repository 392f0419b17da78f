-- When each declaration reached which state: the first time of each receipt state. In two steps the declaration that
-- customs received is the complete one; the summary before it has instants of its own.
select
    declaration_no,
    coalesce(
        min(occurred_at) filter (where status_code = 'complete_accepted'),
        min(occurred_at) filter (where status_code = '120')
    ) as received_at,
    min(occurred_at) filter (where status_code = '399') as accepted_at,
    min(occurred_at) filter (where status_code = '500') as inspection_ordered_at,
    min(occurred_at) filter (where status_code in ('501', '502', '599')) as detained_at,
    min(occurred_at) filter (where status_code = '800') as released_at,
    bool_or(status_code in ('100', '700')) as was_rejected,
    bool_or(status_code = '500') as was_inspected,
    arg_max(status_code, event_seq) as last_status_code
from {{ ref('stg_declarations__declaration_event') }}
group by declaration_no
