-- Declaration deadline of imports and the fee for being late.
-- Customs Law art. 24: within 14 days of the conveyance's entry declaration. GACC Decree 128: the fee runs from the 15th
-- day, which moves to the next working day when it is none, up to and including the day of declaration; customs value
-- x 0.5 permille x days, whole yuan only; a fee below the minimum (CNY 50) is not levied.
with imports as (
    select
        declarations.declaration_no,
        declarations.declared_on,
        cast(declarations.arrived_at at time zone '{{ var("office_time_zone") }}' as date) as arrived_on,
        amounts.customs_value,
        amounts.value_currency
    from {{ ref('stg_declarations__declaration') }} as declarations
    left join {{ ref('int_declarations__amounts') }} as amounts on declarations.declaration_no = amounts.declaration_no
    where declarations.direction = 'I' and declarations.arrived_at is not null
),

terms as (
    select
        imports.*,
        calendar.next_working_day as fee_starts_on,
        permille.parameter_value as fee_permille,
        minimum.parameter_value as fee_minimum
    from imports
    inner join {{ ref('parameters') }} as days
        on {{ parameter_valid_on('days', 'declaration_deadline_days', 'imports.arrived_on') }}
    inner join {{ ref('parameters') }} as permille
        on {{ parameter_valid_on('permille', 'late_fee_permille_per_day', 'imports.arrived_on') }}
    inner join {{ ref('parameters') }} as minimum
        on {{ parameter_valid_on('minimum', 'late_fee_minimum', 'imports.arrived_on') }}
    inner join {{ ref('int_reference__calendar') }} as calendar
        on calendar.calendar_date = imports.arrived_on + cast(days.parameter_value as integer) + 1
),

counted as (
    select
        *,
        greatest(0, declared_on - fee_starts_on + 1) as late_days
    from terms
),

charged as (
    select
        *,
        case
            when value_currency = 'CNY' then floor(customs_value * fee_permille / 1000 * late_days)
        end as fee_before_minimum
    from counted
)

select
    declaration_no,
    arrived_on,
    fee_starts_on - 1 as deadline_on,
    fee_starts_on,
    late_days,
    late_days > 0 as is_late,
    cast(case when fee_before_minimum >= fee_minimum then fee_before_minimum else 0 * fee_before_minimum end as decimal(18, 2))
        as late_fee_amount
from charged
