{{ clearance_by('business_date') }}
