-- Fourteen days from the arrival of the conveyance: every import declaration, met or late with its fee, and every two-step
-- consignment that still waits for its complete declaration. A linked consignment is counted by its declaration alone.
with declared as (
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
        declarations.late_fee_amount
    from {{ ref('fct_declaration') }} as declarations
    left join {{ ref('fct_rail_consignment') }} as consignments
        on declarations.declaration_no = consignments.declaration_no
    where declarations.deadline_on is not null
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
        null as late_fee_amount
    from {{ ref('int_rail__complete_due') }} as due
    left join {{ ref('fct_rail_consignment') }} as consignments on due.waybill_no = consignments.waybill_no
),

known as (
    select * from declared
    union all by name
    select * from waiting
),

as_of as (
    select max(occurred_on) as as_of_on from {{ ref('stg_rail__milestone') }}
),

judged as (
    select
        known.*,
        known.deadline_on as business_date,
        as_of.as_of_on,
        case when known.fulfilled_on is null then known.deadline_on - as_of.as_of_on end as days_left,
        case
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
