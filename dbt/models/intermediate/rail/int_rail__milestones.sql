-- Every consignment with the instants of its own steps and of its train's, M0 to M16. A correction has replaced the
-- event it corrects; of a step reported twice the first counts. Where an event was lost, another document knows: the
-- manifest its own sending, the gate the arrival, the declaration of the same bill that it is complete.
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
),

declared as (
    select
        bill_no,
        min(declaration_no) as declaration_no,
        min(declared_at) as declared_at
    from {{ ref('stg_declarations__declaration') }}
    where direction = 'I' and declaration_mode = 'two_step' and bill_no is not null
    group by bill_no
)

select
    consignments.subject_id as waybill_no,
    consignments.train_id,
    consignments.source_system,
    consignments.station_code,
    {%- for step in range(17) %}
    {%- if step == 1 %}
    coalesce(trains.m1_at, manifests.manifest_at) as m1_at,
    {%- elif step == 5 %}
    coalesce(trains.m5_at, gate.arrived_at) as m5_at,
    {%- elif step == 15 %}
    coalesce(consignments.m15_at, declared.declared_at) as m15_at,
    {%- else %}
    {{ 'trains' if step in (0, 2, 6) else 'consignments' }}.m{{ step }}_at,
    {%- endif %}
    {%- endfor %}
    consignments.lane_code,
    consignments.decision_code,
    consignments.deadline_at,
    coalesce(consignments.declaration_no, declared.declaration_no) as declaration_no,
    coalesce(consignments.is_two_step, false) or declared.bill_no is not null as is_two_step,
    consignments.last_event_at,
    consignments.last_step_code
from timed as consignments
left join timed as trains on consignments.train_id = trains.train_id and trains.subject_kind = 'train'
left join {{ ref('stg_rail__train') }} as gate on consignments.train_id = gate.train_id
left join {{ ref('stg_rail__manifest') }} as manifests on consignments.subject_id = manifests.waybill_no
left join declared on consignments.subject_id = declared.bill_no
where consignments.subject_kind = 'consignment'
