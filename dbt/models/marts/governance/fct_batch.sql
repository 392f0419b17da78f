{{ conform(ref('stg_governance__batch')) }}
