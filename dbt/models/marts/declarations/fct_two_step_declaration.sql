with joined as (
    select
        summaries.declaration_no,
        summaries.source_system,
        summaries.summary_on as business_date,
        summaries.customs_office_code,
        coalesce(offices.name, summaries.customs_office_code) as customs_office,
        coalesce(transport_modes.name, summaries.transport_mode_code) as transport_mode,
        summaries.trader_id,
        summaries.declarant_id,
        {{ trader_status_words('ranks.is_aeo', 'coalesce(ranks.name, summaries.credit_rank_code)') }} as trader_status,
        summaries.is_controlled,
        summaries.is_inspected,
        summaries.is_taxed,
        summaries.summary_submitted_at,
        steps.summary_accepted_at,
        steps.arrived_at,
        steps.pickup_allowed_at,
        steps.complete_submitted_at,
        steps.complete_accepted_at,
        steps.was_returned,
        steps.complete_submitted_at is not null and steps.complete_accepted_at is not null as is_full,
        steps.deadline_on,
        steps.as_of_on,
        steps.late_days,
        {{ hours_between('summaries.summary_submitted_at', 'steps.pickup_allowed_at') }} as summary_to_pickup_hours,
        {{ hours_between('summaries.summary_submitted_at', 'steps.complete_accepted_at') }} as summary_to_complete_hours,
        steps.items_recoded,
        summaries.guarantee_amount,
        summaries.guarantee_amount < amounts.revenue_amount as is_guarantee_short
    from {{ ref('stg_declarations__summary_declaration') }} as summaries
    inner join {{ ref('int_declarations__two_step') }} as steps on summaries.declaration_no = steps.declaration_no
    left join {{ ref('int_declarations__amounts') }} as amounts on summaries.declaration_no = amounts.declaration_no
    left join {{ ref('stg_reference__customs_office') }} as offices
        on {{ valid_on('offices', 'summaries.customs_office_code', 'summaries.summary_on') }}
    left join {{ ref('stg_reference__transport_mode') }} as transport_modes
        on {{ valid_on('transport_modes', 'summaries.transport_mode_code', 'summaries.summary_on') }}
    left join {{ ref('stg_reference__credit_rank') }} as ranks
        on {{ valid_on('ranks', 'summaries.credit_rank_code', 'summaries.summary_on') }}
),

judged as (
    select
        *,
        case
            when summary_accepted_at is null and complete_accepted_at is null then 'Summary submitted'
            when complete_accepted_at is not null and late_days > 0 then 'Full, late'
            when complete_accepted_at is not null then 'Full'
            when late_days > 0 then 'Overdue'
            when complete_submitted_at is not null then 'Complete submitted'
            else 'Complete due'
        end as step_state
    from joined
)

{{ conform('judged') }}
