-- The state of each enterprise that holds now: its latest period.
select enterprises.*
from {{ ref('stg_enterprises__enterprise') }} as enterprises
qualify row_number() over (partition by enterprises.trader_id order by enterprises.valid_from desc) = 1
