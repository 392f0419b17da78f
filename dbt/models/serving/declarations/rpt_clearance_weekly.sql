{{ clearance_by("cast(date_trunc('week', business_date) as date)") }}
