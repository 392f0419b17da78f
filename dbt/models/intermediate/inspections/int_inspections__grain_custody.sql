-- Samples of grain and the laboratory results that name them: where the chain of custody is broken, and how. The first
-- break counts. A sample without a result yet is judged on what is known of it.
with results as (
    select
        step_id,
        train_id,
        position,
        source_system,
        sample_id,
        seal_no as found_seal_no,
        finished_at as resulted_at
    from {{ ref('stg_inspections__grain_step') }}
    where step_code = 'laboratory'
)

select
    coalesce(results.sample_id, samples.sample_id) as sample_id,
    coalesce(results.train_id, samples.train_id) as train_id,
    coalesce(results.position, samples.position) as position,
    coalesce(results.source_system, samples.source_system) as source_system,
    results.step_id,
    samples.drawn_at,
    results.resulted_at,
    case
        when samples.sample_id is null then 'Sample unknown'
        when results.train_id <> samples.train_id or results.position <> samples.position then 'Sample of another wagon'
        when samples.sealed_at is null then 'Sample not sealed'
        when samples.received_seal_no <> samples.seal_no then 'Received under another seal'
        when not samples.is_seal_intact then 'Seal broken at receipt'
        when results.found_seal_no <> samples.seal_no then 'Result under another seal'
        when results.step_id is not null and samples.received_at is null then 'Result without receipt'
        when results.resulted_at < samples.received_at then 'Result before receipt'
    end as custody_gap
from {{ ref('stg_inspections__grain_sample') }} as samples
full outer join results on samples.sample_id = results.sample_id
