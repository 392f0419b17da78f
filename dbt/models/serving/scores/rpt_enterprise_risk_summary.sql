with latest as (
    select * from {{ ref('stg_scores__enterprise_risk') }}
    where as_of = (select max(as_of) from {{ ref('stg_scores__enterprise_risk') }})
    qualify row_number() over (partition by trader_id order by scored_at desc) = 1
),

cells as (
    select
        latest.as_of as business_date,
        enterprises.source_system,
        enterprises.trader_status,
        case
            when latest.score < 0.05 then 'below 5 %'
            when latest.score < 0.10 then '5-10 %'
            when latest.score < 0.20 then '10-20 %'
            when latest.score < 0.50 then '20-50 %'
            else '50 % and more'
        end as risk_band,
        latest.model_version,
        count(*) as enterprises,
        sum(latest.score) as score_total
    from latest
    inner join {{ ref('dim_enterprise') }} as enterprises on latest.trader_id = enterprises.trader_id
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system', 'model_version'],
    dimensions=['trader_status', 'risk_band'],
    records='enterprises'
) }},

folded as (
    select
        business_date,
        source_system,
        model_version,
        trader_status,
        risk_band,
        sum(enterprises) as enterprises,
        sum(score_total) as score_total
    from merged
    group by all
),

numbered as (
    select
        *,
        case risk_band
            when 'below 5 %' then 1 when '5-10 %' then 2 when '10-20 %' then 3 when '20-50 %' then 4
            when '50 % and more' then 5
        end as risk_band_no
    from folded
)

{{ conform('numbered') }}
