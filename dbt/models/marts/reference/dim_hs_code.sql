{{ conform(ref('stg_reference__hs_code')) }}
