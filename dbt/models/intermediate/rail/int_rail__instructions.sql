-- Every inspection instruction with the instants of its answers. Of an answer given twice the first counts; an
-- instruction is closed by its result or by a refusal.
with answers as (
    select
        instruction_id,
        min(occurred_at) filter (where answer_code in ('accepted', 'refused')) as answered_at,
        min(occurred_at) filter (where answer_code = 'shunting_done') as shunted_at,
        min(occurred_at) filter (where answer_code = 'started') as started_at,
        min(occurred_at) filter (where answer_code = 'result') as result_at,
        min(occurred_at) filter (where answer_code in ('result', 'refused')) as closed_at,
        bool_or(answer_code = 'refused') as is_refused,
        arg_min(outcome_code, occurred_at) filter (where answer_code = 'result') as outcome_code
    from {{ ref('stg_rail__instruction_result') }}
    group by instruction_id
)

select
    instructions.instruction_id,
    instructions.train_id,
    instructions.waybill_no,
    instructions.source_system,
    instructions.station_code,
    instructions.position,
    instructions.wagon_no,
    instructions.recipient_kind,
    instructions.instruction_kind,
    instructions.selected_by,
    instructions.instructed_at,
    instructions.instructed_on,
    instructions.answer_due_at,
    answers.answered_at,
    answers.shunted_at,
    answers.started_at,
    answers.result_at,
    answers.closed_at,
    coalesce(answers.is_refused, false) as is_refused,
    answers.outcome_code
from {{ ref('stg_rail__instruction') }} as instructions
left join answers on instructions.instruction_id = answers.instruction_id
