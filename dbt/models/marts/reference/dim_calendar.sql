{{ conform(ref('int_reference__calendar')) }}
