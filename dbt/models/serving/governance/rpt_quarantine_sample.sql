with samples as (
    select
        *,
        {{ domain_of('contract_id') }} as domain,
        {{ dataset_of('contract_id') }} as dataset
    from {{ ref('stg_governance__quarantine_sample') }}
)

{{ conform('samples') }}
