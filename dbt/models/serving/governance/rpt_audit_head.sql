{{ conform(ref('stg_governance__audit_head')) }}
