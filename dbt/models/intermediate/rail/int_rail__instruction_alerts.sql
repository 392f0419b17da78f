-- What is wrong between an instruction and its answers, by reason. An answer may come before its instruction is known,
-- so an unknown instruction is an alert that ends when the instruction comes, and no reason to set the answer aside.
with newest as (
    select max(known_at) as known_at
    from {{ ref('stg_rail__milestone') }}
)

select
    'instruction_unknown' as reason,
    answers.instruction_id as subject_id,
    any_value(answers.train_id) as train_id,
    any_value(answers.source_system) as source_system,
    min(answers.occurred_on) as business_date,
    cast(count(*) as double) as measured
from {{ ref('stg_rail__instruction_result') }} as answers
left join {{ ref('stg_rail__instruction') }} as instructions on answers.instruction_id = instructions.instruction_id
where instructions.instruction_id is null
group by answers.instruction_id
union all
select
    'instruction_open_twice' as reason,
    later.instruction_id as subject_id,
    any_value(later.train_id) as train_id,
    any_value(later.source_system) as source_system,
    any_value(later.instructed_on) as business_date,
    cast(count(*) as double) as measured
from {{ ref('int_rail__instructions') }} as later
inner join {{ ref('int_rail__instructions') }} as earlier
    on later.train_id = earlier.train_id
    and later.waybill_no = earlier.waybill_no
    and later.instruction_kind = earlier.instruction_kind
    and later.position is not distinct from earlier.position
    and (earlier.instructed_at, earlier.instruction_id) < (later.instructed_at, later.instruction_id)
    and (earlier.closed_at is null or earlier.closed_at > later.instructed_at)
group by later.instruction_id
union all
select
    'instruction_answer_late' as reason,
    orders.instruction_id as subject_id,
    orders.train_id,
    orders.source_system,
    orders.instructed_on as business_date,
    {{ hours_between('orders.answer_due_at', 'coalesce(orders.answered_at, newest.known_at)') }} as measured
from {{ ref('int_rail__instructions') }} as orders
cross join newest
where coalesce(orders.answered_at, newest.known_at) > orders.answer_due_at
