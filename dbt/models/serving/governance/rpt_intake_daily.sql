-- Rows taken in per day folder and table: how many met the contract, how many were set aside.
with taken as (
    select
        business_date,
        {{ domain_of('contract_id') }} as domain,
        {{ dataset_of('contract_id') }} as dataset,
        coalesce(source_system, 'Not stated') as source_system,
        sum(rows_in) as rows_in,
        sum(rows_good) as rows_good,
        sum(rows_quarantined) as rows_quarantined
    from {{ ref('stg_governance__batch') }}
    where file_status = 'ingested' and business_date is not null
    group by all
)

{{ conform('taken') }}
