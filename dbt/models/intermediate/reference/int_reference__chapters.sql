-- Chapters of the Harmonized System with their section, whatever edition a code is of.
select
    chapter,
    any_value(chapter_name) as chapter_name,
    any_value(section_code) as section_code,
    any_value(section_name) as section_name,
    chapter || ' ' || coalesce(any_value(chapter_name), '') as hs_chapter
from {{ ref('stg_reference__hs_code') }}
group by chapter
