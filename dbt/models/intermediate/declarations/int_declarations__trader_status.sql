-- Standing of the trader on the day of declaration: its state that held on that day, its rank as the law then named it.
-- An enterprise may still carry a rank of the law before until it is ranked anew: the last name the rank had is taken.
with states as (
    select
        declarations.declaration_no,
        declarations.declared_on,
        enterprises.credit_rank_code
    from {{ ref('stg_declarations__declaration') }} as declarations
    asof left join {{ ref('stg_enterprises__enterprise') }} as enterprises
        on declarations.trader_id = enterprises.trader_id and declarations.declared_on >= enterprises.valid_from
)

select
    states.declaration_no,
    states.credit_rank_code,
    ranks.name as credit_rank,
    {{ trader_status_words('ranks.is_aeo', 'coalesce(ranks.name, states.credit_rank_code)') }} as trader_status
from states
asof left join {{ ref('stg_reference__credit_rank') }} as ranks
    on states.credit_rank_code = ranks.code and states.declared_on >= ranks.valid_from
