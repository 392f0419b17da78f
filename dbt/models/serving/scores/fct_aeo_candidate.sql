-- AEOs have the certificate already and dishonest enterprises may not apply: candidates are the regular ones.
with latest as (
    select * from {{ ref('stg_scores__aeo_candidate') }}
    where as_of = (select max(as_of) from {{ ref('stg_scores__aeo_candidate') }})
    qualify row_number() over (partition by trader_id order by scored_at desc) = 1
),

joined as (
    select
        enterprises.*,
        latest.as_of as business_date,
        latest.model_version
    from latest
    inner join {{ ref('dim_enterprise_360') }} as enterprises on latest.trader_id = enterprises.trader_id
    where enterprises.trader_status = 'Regular'
)

{{ conform('joined') }}
