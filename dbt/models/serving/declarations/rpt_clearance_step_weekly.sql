with steps as (
    select
        cast(date_trunc('week', business_date) as date) as business_date,
        source_system,
        customs_district,
        customs_office,
        direction,
        transport_mode,
        trader_status,
        unnest([
            {
                'step_no': 1, 'step': 'Arrival to declaration',
                'hours': case when direction = 'Import' then {{ hours_between('arrived_at', 'declared_at') }} end
            },
            {
                'step_no': 2, 'step': 'Declaration to customs receipt',
                'hours': {{ hours_between('declared_at', 'received_at') }}
            },
            {
                'step_no': 3, 'step': 'Receipt to acceptance',
                'hours': {{ hours_between('received_at', 'accepted_at') }}
            },
            {
                'step_no': 4, 'step': 'Acceptance to release (no inspection)',
                'hours': case
                    when inspection_ordered_at is null then {{ hours_between('accepted_at', 'released_at') }}
                end
            },
            {
                'step_no': 5, 'step': 'Acceptance to inspection',
                'hours': {{ hours_between('accepted_at', 'inspection_ordered_at') }}
            },
            {
                'step_no': 6, 'step': 'Inspection to release',
                'hours': {{ hours_between('inspection_ordered_at', 'released_at') }}
            }
        ], recursive := true)
    from {{ ref('fct_declaration') }}
),

cells as (
    select
        business_date,
        source_system,
        customs_district,
        customs_office,
        direction,
        transport_mode,
        trader_status,
        step_no,
        step,
        count(*) as declarations,
        -- declared in advance of arrival: no waiting, not a negative one
        sum(greatest(0, hours)) as hours_total
    from steps
    where hours is not null
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system', 'step_no', 'step'],
    dimensions=['trader_status', 'transport_mode', 'customs_office', 'customs_district', 'direction'],
    records='declarations'
) }},

summed as (
    select
        business_date,
        source_system,
        customs_district,
        customs_office,
        direction,
        transport_mode,
        trader_status,
        step_no,
        step,
        sum(declarations) as declarations,
        sum(hours_total) as hours_total
    from merged
    group by all
)

{{ conform('summed') }}
