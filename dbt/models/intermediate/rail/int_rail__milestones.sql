-- Every consignment with the instants of its own steps and of its train's, M0 to M16. A correction has replaced the
-- event it corrects; of a step reported twice the first counts.
with timed as (
    select
        chain_id as train_id,
        subject_kind,
        subject_id,
        any_value(source_system) as source_system,
        any_value(station_code) as station_code,
        {%- for step in range(17) %}
        min(occurred_at) filter (where step_code = 'M{{ step }}') as m{{ step }}_at,
        {%- endfor %}
        max(lane_code) as lane_code,
        max(decision_code) as decision_code,
        max(deadline_at) as deadline_at,
        max(declaration_no) as declaration_no,
        bool_or(step_code = 'M3' and scenario_no = 7) as is_two_step,
        max(occurred_at) as last_event_at,
        arg_max(step_code, occurred_at) as last_step_code
    from {{ ref('stg_rail__milestone') }}
    group by chain_id, subject_kind, subject_id
)

select
    consignments.subject_id as waybill_no,
    consignments.train_id,
    consignments.source_system,
    consignments.station_code,
    {%- for step in range(17) %}
    {{ 'trains' if step in (0, 1, 2, 5, 6) else 'consignments' }}.m{{ step }}_at,
    {%- endfor %}
    consignments.lane_code,
    consignments.decision_code,
    consignments.deadline_at,
    consignments.declaration_no,
    coalesce(consignments.is_two_step, false) as is_two_step,
    consignments.last_event_at,
    consignments.last_step_code
from timed as consignments
left join timed as trains on consignments.train_id = trains.train_id and trains.subject_kind = 'train'
where consignments.subject_kind = 'consignment'
