with risk as (
    select * from {{ ref('stg_scores__enterprise_risk') }}
    qualify row_number() over (partition by trader_id order by as_of desc, scored_at desc) = 1
),

chance as (
    select * from {{ ref('stg_scores__aeo_candidate') }}
    qualify row_number() over (partition by trader_id order by as_of desc, scored_at desc) = 1
),

joined as (
    select
        enterprises.*,
        risk.score as risk_score,
        risk.score_rank as risk_rank,
        risk.as_of as risk_as_of,
        risk.reasons as risk_reasons,
        chance.score as aeo_chance,
        chance.score_rank as aeo_rank,
        chance.as_of as aeo_as_of,
        chance.reasons as aeo_reasons
    from {{ ref('dim_enterprise') }} as enterprises
    left join risk on enterprises.trader_id = risk.trader_id
    left join chance on enterprises.trader_id = chance.trader_id
)

{{ conform('joined') }}
