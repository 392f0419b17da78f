-- State of each enterprise at the end of each month; the running month is taken at the last known day.
with bounds as (
    select
        as_of_date,
        greatest(
            {{ month_of('as_of_date') }} - interval 23 month,
            (select {{ month_of('min(valid_from)') }} from {{ ref('stg_enterprises__enterprise') }})
        ) as first_month
    from {{ ref('int_enterprises__as_of') }}
),

months as (
    select
        cast(unnest(range(first_month, as_of_date + interval 1 day, interval 1 month)) as date) as business_date,
        as_of_date
    from bounds
),

days as (
    select
        business_date,
        least(last_day(business_date), as_of_date) as day_of_state
    from months
),

states as (
    select
        days.business_date,
        days.day_of_state,
        enterprises.source_system,
        enterprises.enterprise_kind,
        enterprises.region_code,
        enterprises.credit_rank_code
    from days
    inner join {{ ref('stg_enterprises__enterprise') }} as enterprises on days.day_of_state >= enterprises.valid_from
    qualify row_number() over (
        partition by days.business_date, enterprises.trader_id order by enterprises.valid_from desc
    ) = 1
),

cells as (
    select
        states.business_date,
        states.source_system,
        states.enterprise_kind,
        states.region_code as region,
        coalesce(ranks.name, states.credit_rank_code) as credit_rank,
        {{ trader_status_words('ranks.is_aeo', 'coalesce(ranks.name, states.credit_rank_code)') }} as trader_status,
        count(*) as enterprises
    from states
    asof left join {{ ref('stg_reference__credit_rank') }} as ranks
        on states.credit_rank_code = ranks.code and states.day_of_state >= ranks.valid_from
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system'],
    dimensions=['region', 'enterprise_kind', 'credit_rank', 'trader_status'],
    records='enterprises'
) }},

counted as (
    select
        business_date,
        source_system,
        enterprise_kind,
        region,
        credit_rank,
        trader_status,
        sum(enterprises) as enterprises
    from merged
    group by all
)

{{ conform('counted') }}
