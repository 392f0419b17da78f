-- Fourteen days from the arrival of the conveyance: every import declaration, met or late with its fee, and every two-step
-- declaration or rail consignment that still waits for its complete declaration. A linked consignment is counted by its
-- declaration alone, and a two-step declaration under Complete declaration until customs has accepted that. Exports:
-- declared after arrival in the bonded area and 24 hours before loading.
with incomplete as (
    select * from {{ ref('int_declarations__two_step') }}
    where complete_accepted_at is null and deadline_on is not null
),

declared as (
    select
        'Import declaration' as limit_kind,
        declarations.declaration_no as subject_id,
        declarations.declaration_no,
        consignments.waybill_no,
        consignments.train_id,
        declarations.source_system,
        declarations.customs_office as place,
        declarations.trader_id,
        cast(declarations.arrived_at at time zone '{{ var("office_time_zone") }}' as date) as arrived_on,
        declarations.deadline_on,
        declarations.business_date as fulfilled_on,
        declarations.late_days,
        declarations.value_currency,
        declarations.customs_value,
        declarations.late_fee_amount,
        null as late_hours,
        false as is_too_early
    from {{ ref('fct_declaration') }} as declarations
    left join {{ ref('fct_rail_consignment') }} as consignments
        on declarations.declaration_no = consignments.declaration_no
    where
        declarations.deadline_on is not null
        and declarations.declaration_no not in (select incomplete.declaration_no from incomplete)
),

exported as (
    select
        'Export declaration' as limit_kind,
        declarations.declaration_no as subject_id,
        declarations.declaration_no,
        null as waybill_no,
        null as train_id,
        declarations.source_system,
        declarations.customs_office as place,
        declarations.trader_id,
        cast(limits.bonded_arrived_at at time zone '{{ var("office_time_zone") }}' as date) as arrived_on,
        cast(limits.deadline_at at time zone '{{ var("office_time_zone") }}' as date) as deadline_on,
        declarations.business_date as fulfilled_on,
        null as late_days,
        null as value_currency,
        null as customs_value,
        null as late_fee_amount,
        limits.late_hours,
        limits.is_too_early
    from {{ ref('int_declarations__export_limits') }} as limits
    inner join {{ ref('fct_declaration') }} as declarations on limits.declaration_no = declarations.declaration_no
),

due as (
    select
        'Complete declaration' as limit_kind,
        incomplete.declaration_no as subject_id,
        incomplete.declaration_no,
        null as waybill_no,
        null as train_id,
        summaries.source_system,
        summaries.customs_office as place,
        summaries.trader_id,
        incomplete.arrived_on,
        incomplete.deadline_on,
        null as fulfilled_on,
        incomplete.late_days,
        declarations.value_currency,
        declarations.customs_value,
        declarations.late_fee_amount,
        null as late_hours,
        false as is_too_early
    from incomplete
    inner join {{ ref('fct_two_step_declaration') }} as summaries
        on incomplete.declaration_no = summaries.declaration_no
    left join {{ ref('fct_declaration') }} as declarations on incomplete.declaration_no = declarations.declaration_no
),

waiting as (
    select
        'Complete declaration' as limit_kind,
        due.waybill_no as subject_id,
        null as declaration_no,
        due.waybill_no,
        due.train_id,
        due.source_system,
        consignments.station as place,
        consignments.consignee_id as trader_id,
        due.arrived_on,
        due.deadline_on,
        null as fulfilled_on,
        due.late_days,
        null as value_currency,
        null as customs_value,
        null as late_fee_amount,
        null as late_hours,
        false as is_too_early
    from {{ ref('int_rail__complete_due') }} as due
    left join {{ ref('fct_rail_consignment') }} as consignments on due.waybill_no = consignments.waybill_no
),

known as (
    select * from declared
    union all by name
    select * from waiting
    union all by name
    select * from due
    union all by name
    select * from exported
),

-- DuckDB's greatest() skips what is unknown: without trains the receipts say which day it is
as_of as (
    select
        greatest(
            (select max(m.occurred_on) from {{ ref('stg_rail__milestone') }} as m),
            (select max(e.occurred_on) from {{ ref('stg_declarations__declaration_event') }} as e)
        ) as as_of_on
),

judged as (
    select
        known.*,
        known.deadline_on as business_date,
        as_of.as_of_on,
        case when known.fulfilled_on is null then known.deadline_on - as_of.as_of_on end as days_left,
        case
            when known.late_hours > 0 then 'Late'
            when known.is_too_early then 'Too early'
            when known.fulfilled_on is not null and known.late_days > 0 then 'Late'
            when known.fulfilled_on is not null then 'Met'
            when known.late_days > 0 then 'Overdue'
            when known.deadline_on - as_of.as_of_on <= 3 then 'Due within 3 days'
            else 'Open'
        end as limit_state
    from known
    cross join as_of
)

{{ conform('judged') }}
