{{ by_place_and_trader(
    ref('fct_declaration'),
    "cast(date_trunc('week', business_date) as date)",
    attributes={'release_hours': release_hours_class('release_hours')},
    where='release_hours is not null'
) }}
