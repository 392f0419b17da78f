-- What the feeds say about the chain, each event in the words of its own feed: milestones, notes, wagons and containers at
-- the gate, instructions, readings of minerals, steps of grain and of special packages, and both steps, receipts
-- and inspections of declarations the chain knows.
with linked as (
    select
        declaration_no,
        train_id,
        station_code
    from {{ ref('int_rail__milestones') }}
    where declaration_no is not null
    union all
    select
        summaries.declaration_no,
        manifests.train_id,
        manifests.station_code
    from {{ ref('stg_declarations__summary_declaration') }} as summaries
    inner join {{ ref('stg_rail__manifest') }} as manifests on summaries.bill_no = manifests.waybill_no
),

declarations as (
    select
        declaration_no,
        any_value(train_id) as chain_id,
        any_value(station_code) as station_code
    from linked
    group by declaration_no
),

inspected as (
    {%- for step, status, column in [
        ('ORDER', 'ordered', 'instructed_at'), ('START', 'started', 'started_at'), ('END', 'ended', 'finished_at')
    ] %}
    select
        inspection_id || '/{{ step }}' as event_id,
        declaration_no,
        '{{ step }}' as step_code,
        '{{ status }}' as status,
        {{ column }} as occurred_at,
        message_at,
        message_seq,
        source_system
    from {{ ref('stg_inspections__inspection') }}
    where {{ column }} is not null
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select
    event_id,
    chain_id,
    scenario_no,
    subject_kind,
    subject_id,
    step_code,
    step_status as status,
    emitter,
    station_code,
    occurred_at,
    known_at,
    message_no,
    message_seq,
    source_system
from {{ ref('stg_rail__milestone') }}
union all
select
    'note/' || waybill_no as event_id,
    train_id as chain_id,
    case when message_seq > 1 then 5 else 3 end as scenario_no,
    'consignment' as subject_kind,
    waybill_no as subject_id,
    'NOTE' as step_code,
    case when message_seq > 1 then 'corrected' else 'received' end as status,
    'railway' as emitter,
    station_code,
    manifest_at as occurred_at,
    message_at as known_at,
    null as message_no,
    message_seq,
    source_system
from {{ ref('stg_rail__manifest') }}
union all
select
    'wagon/' || wagons.wagon_id as event_id,
    wagons.train_id as chain_id,
    12 as scenario_no,
    'wagon' as subject_kind,
    wagons.wagon_id as subject_id,
    'WAGON' as step_code,
    case
        when wagons.wagon_no is null then 'unread'
        when not wagons.is_number_valid then 'misread'
        when not wagons.is_on_manifest then 'not_on_manifest'
        else 'matched'
    end as status,
    'terminal' as emitter,
    trains.station_code,
    wagons.arrived_at as occurred_at,
    wagons.message_at as known_at,
    null as message_no,
    wagons.message_seq,
    wagons.source_system
from {{ ref('int_rail__wagon_checks') }} as wagons
left join {{ ref('stg_rail__train') }} as trains on wagons.train_id = trains.train_id
union all
select
    'container/' || wagons.wagon_id as event_id,
    wagons.train_id as chain_id,
    12 as scenario_no,
    'container' as subject_kind,
    wagons.container_no as subject_id,
    'BOX' as step_code,
    'recognised' as status,
    'terminal' as emitter,
    trains.station_code,
    wagons.arrived_at as occurred_at,
    wagons.message_at as known_at,
    null as message_no,
    wagons.message_seq,
    wagons.source_system
from {{ ref('int_rail__wagon_checks') }} as wagons
left join {{ ref('stg_rail__train') }} as trains on wagons.train_id = trains.train_id
where wagons.container_no is not null
union all
select
    'receipt/' || receipts.declaration_no || '/' || receipts.event_seq as event_id,
    declarations.chain_id,
    case
        when states.declaration_state in ('drafted', 'submitted', 'accepted', 'amended', 'cancelled') then 7
        when states.declaration_state = 'accepted_awaiting_arrival' then 6
        when states.declaration_state = 'documents_required' then 8
        when states.declaration_state in ('tax_paid', 'guaranteed') then 9
        when states.declaration_state in ('inspection_ordered', 'inspected') then 16
        when states.declaration_state in ('pickup_allowed', 'released') then 25
        else 28
    end as scenario_no,
    'declaration' as subject_kind,
    receipts.declaration_no as subject_id,
    'RECEIPT' as step_code,
    receipts.status_code as status,
    'single_window' as emitter,
    declarations.station_code,
    receipts.occurred_at,
    receipts.message_at as known_at,
    null as message_no,
    receipts.message_seq,
    receipts.source_system
from {{ ref('stg_declarations__declaration_event') }} as receipts
inner join declarations on receipts.declaration_no = declarations.declaration_no
left join {{ ref('stg_reference__receipt_status') }} as states
    on {{ valid_on('states', 'receipts.status_code', 'receipts.occurred_on') }}
union all
select
    'inspection/' || inspected.event_id as event_id,
    declarations.chain_id,
    16 as scenario_no,
    'declaration' as subject_kind,
    inspected.declaration_no as subject_id,
    inspected.step_code,
    inspected.status,
    'customs' as emitter,
    declarations.station_code,
    inspected.occurred_at,
    inspected.message_at as known_at,
    null as message_no,
    inspected.message_seq,
    inspected.source_system
from inspected
inner join declarations on inspected.declaration_no = declarations.declaration_no
{%- for feed, step, scenario in [
    ('radiation', 'RADIATION', 14), ('composition', 'ELEMENTS', 17), ('inclusion', 'INCLUSION', 18)
] %}
union all
select
    '{{ feed }}/' || readings.train_id || '/' || readings.position{{ " || '/' || readings.method_code" if feed == 'composition' }} as event_id,
    readings.train_id as chain_id,
    {{ scenario }} as scenario_no,
    'wagon' as subject_kind,
    readings.train_id || '/' || readings.position as subject_id,
    '{{ step }}' as step_code,
    readings.conclusion_code as status,
    'terminal' as emitter,
    trains.station_code,
    readings.read_at as occurred_at,
    readings.known_at,
    null as message_no,
    readings.message_seq,
    readings.source_system
from {{ ref('stg_rail__' ~ feed) }} as readings
left join {{ ref('stg_rail__train') }} as trains on readings.train_id = trains.train_id
{%- endfor %}
union all
select
    'task/' || order_no as event_id,
    train_id as chain_id,
    17 as scenario_no,
    'consignment' as subject_kind,
    waybill_no as subject_id,
    'TASK' as step_code,
    'ordered' as status,
    'customs' as emitter,
    station_code,
    ordered_at as occurred_at,
    message_at as known_at,
    null as message_no,
    message_seq,
    source_system
from {{ ref('stg_rail__inspection_order') }}
{%- for step, column, emitter in [('SAMPLE', 'drawn_at', 'customs'), ('VERDICT', 'known_at', 'laboratory')] %}
union all
select
    '{{ step | lower }}/' || samples.sample_no as event_id,
    samples.train_id as chain_id,
    {{ 20 if step == 'VERDICT' else 19 }} as scenario_no,
    'wagon' as subject_kind,
    samples.train_id || '/' || samples.position as subject_id,
    '{{ step }}' as step_code,
    {{ 'samples.verdict_code' if step == 'VERDICT' else "'drawn'" }} as status,
    '{{ emitter }}' as emitter,
    trains.station_code,
    samples.{{ column }} as occurred_at,
    samples.message_at as known_at,
    null as message_no,
    samples.message_seq,
    samples.source_system
from {{ ref('stg_rail__laboratory_result') }} as samples
left join {{ ref('stg_rail__train') }} as trains on samples.train_id = trains.train_id
{%- endfor %}
union all
select
    'grain/' || step_id as event_id,
    train_id as chain_id,
    case when step_code in ('decision', 'treatment', 'release') then 22 else 21 end as scenario_no,
    'wagon' as subject_kind,
    train_id || '/' || position as subject_id,
    'GRAIN_' || upper(step_code) as step_code,
    'ended' as status,
    case when step_code = 'laboratory' then 'laboratory' else 'customs' end as emitter,
    station_code,
    finished_at as occurred_at,
    message_at as known_at,
    null as message_no,
    message_seq,
    source_system
from {{ ref('stg_inspections__grain_step') }}
{%- for step, status, column in [
    ('PACK_DECIDED', 'decided', 'decided_at'), ('PACK_PORT', 'checked', 'port_finished_at'),
    ('PACK_DESTINATION', 'inspected', 'destination_finished_at')
] %}
union all
select
    'package/' || package_id || '/{{ step }}' as event_id,
    train_id as chain_id,
    {% if step == 'PACK_DESTINATION' -%}
        24
    {%- else -%}
        case when package_kind in ('dangerous_goods', 'lithium', 'gas_cylinder') then 23 else 24 end
    {%- endif %} as scenario_no,
    'package' as subject_kind,
    package_id as subject_id,
    '{{ step }}' as step_code,
    '{{ status }}' as status,
    'customs' as emitter,
    station_code,
    {{ column }} as occurred_at,
    message_at as known_at,
    null as message_no,
    message_seq,
    source_system
from {{ ref('stg_inspections__special_package') }}
where {{ column }} is not null
{%- endfor %}
union all
select
    'instruction/' || instruction_id as event_id,
    train_id as chain_id,
    16 as scenario_no,
    'instruction' as subject_kind,
    instruction_id as subject_id,
    'INSTRUCTION' as step_code,
    'sent' as status,
    'customs' as emitter,
    station_code,
    instructed_at as occurred_at,
    known_at,
    message_no,
    message_seq,
    source_system
from {{ ref('stg_rail__instruction') }}
union all
select
    'answer/' || event_id as event_id,
    train_id as chain_id,
    16 as scenario_no,
    'instruction' as subject_kind,
    instruction_id as subject_id,
    'ANSWER' as step_code,
    answer_code as status,
    emitter,
    station_code,
    occurred_at,
    known_at,
    message_no,
    message_seq,
    source_system
from {{ ref('stg_rail__instruction_result') }}
{%- for step, table, column, scenario in [
    ('SUMMARY', 'summary_declaration', 'summary_submitted_at', 7),
    ('COMPLETE', 'complete_declaration', 'complete_submitted_at', 28)
] %}
union all
select
    '{{ step | lower }}/' || submitted.declaration_no as event_id,
    declarations.chain_id,
    {{ scenario }} as scenario_no,
    'declaration' as subject_kind,
    submitted.declaration_no as subject_id,
    '{{ step }}' as step_code,
    'submitted' as status,
    'declarant' as emitter,
    declarations.station_code,
    submitted.{{ column }} as occurred_at,
    submitted.message_at as known_at,
    null as message_no,
    submitted.message_seq,
    submitted.source_system
from {{ ref('stg_declarations__' ~ table) }} as submitted
inner join declarations on submitted.declaration_no = declarations.declaration_no
{%- endfor %}
