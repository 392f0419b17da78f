-- Live tables against their contracts, and when new data is due: the last arrival plus what the contract promises.
with states as (
    select
        *,
        {{ domain_of('contract_id') }} as domain,
        {{ dataset_of('contract_id') }} as dataset,
        last_arrival_at + promised_hours * interval 1 hour as due_at,
        state_date = max(state_date) over () as is_latest
    from {{ ref('stg_governance__contract_state') }}
)

{{ conform('states') }}
