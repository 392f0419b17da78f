-- Two-step declarations by month of the summary, place, transport and kind of trader: how far they are and how long the
-- complete declaration took (in weighted classes of hours, so that medians hold under any filter).
with summaries as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        trader_status,
        transport_mode,
        customs_office,
        1 as records,
        step_state,
        was_returned,
        items_recoded > 0 as is_recoded,
        is_guarantee_short,
        summary_to_pickup_hours,
        summary_to_complete_hours,
        case
            when summary_to_complete_hours is not null then {{ release_hours_class('summary_to_complete_hours') }}
        end as complete_hours
    from {{ ref('fct_two_step_declaration') }}
),

{{ merge_small_cells(
    'summaries', keep=['business_date', 'source_system'],
    dimensions=['trader_status', 'transport_mode', 'customs_office'], records='records'
) }},

summed as (
    select
        business_date,
        source_system,
        trader_status,
        transport_mode,
        customs_office,
        complete_hours,
        count(*) as summaries,
        count(*) filter (where step_state in ('Full', 'Full, late')) as full_declarations,
        count(*) filter (where step_state = 'Full, late') as full_late,
        count(*) filter (where step_state in ('Complete due', 'Complete submitted', 'Summary submitted')) as waiting,
        count(*) filter (where step_state = 'Overdue') as overdue,
        count(*) filter (where was_returned) as complete_returned,
        count(*) filter (where is_recoded) as recoded,
        count(*) filter (where is_guarantee_short) as guarantee_short,
        count(summary_to_pickup_hours) as picked_up,
        coalesce(sum(summary_to_pickup_hours), 0) as pickup_hours_total,
        count(summary_to_complete_hours) as complete_known,
        any_value(cell_records) as summaries_of_cell
    from merged
    group by business_date, source_system, trader_status, transport_mode, customs_office, complete_hours
)

{{ conform('summed') }}
