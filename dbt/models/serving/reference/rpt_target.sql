{{ conform(ref('targets')) }}
