{# Whether the check digit of an eight-digit wagon number of the 1520 mm network fits (weights 2 and 1, as Luhn); unknown
   where no number was read. The same rule flags the number at ingest (rail.wagon, wagon_no.checksum). #}
{% macro wagon_number_fits(column) -%}
    case
        when {{ column }} is null then null
        when not regexp_matches({{ column }}, '^[0-9]{8}$') then false
        else (
            {%- for place in range(1, 9) %}
            {%- set digit = 'cast(substring(' ~ column ~ ', ' ~ place ~ ', 1) as integer)' %}
            {{ '+ ' if not loop.first }}{{ digit ~ ' * 2 - case when ' ~ digit ~ ' > 4 then 9 else 0 end' if place % 2 else digit }}
            {%- endfor %}
        ) % 10 = 0
    end
{%- endmacro %}
