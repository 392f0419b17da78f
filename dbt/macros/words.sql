{# Codes in the words managers read. #}
{% macro direction_words(column) -%}
    case {{ column }} when 'I' then 'Import' when 'E' then 'Export' else 'Not stated' end
{%- endmacro %}

{% macro selected_by_words(column) -%}
    case {{ column }}
        when 'rule' then 'Rule' when 'model' then 'Model' when 'random' then 'Random' when 'order' then 'Order'
        else 'Not stated'
    end
{%- endmacro %}

{% macro severity_words(column) -%}
    case {{ column }} when 1 then 'Ordinary' when 2 then 'Critical' else 'None' end
{%- endmacro %}

{% macro trader_status_words(is_aeo, rank_name) -%}
    case
        when {{ rank_name }} is null then 'Unknown'
        when {{ is_aeo }} then 'AEO'
        when {{ rank_name }} ilike '%dishonest%' then 'Dishonest'
        else 'Regular'
    end
{%- endmacro %}

{% macro month_of(day) -%}
    cast(date_trunc('month', {{ day }}) as date)
{%- endmacro %}

{% macro hours_between(start, finish) -%}
    (epoch({{ finish }}) - epoch({{ start }})) / 3600.0
{%- endmacro %}

{# Duty plus tax; unknown only where both are: a source that reports no revenue has none to show, not zero. #}
{% macro duty_and_tax(duty, tax) -%}
    case when {{ duty }} is not null or {{ tax }} is not null then coalesce({{ duty }}, 0) + coalesce({{ tax }}, 0) end
{%- endmacro %}

{# Hours waited: nothing when the end came before the start (released before arrival), unknown when either is unknown.
   DuckDB's greatest() skips nulls, so greatest(0, unknown) would be 0 hours. #}
{% macro waiting_hours(start, finish) -%}
    case when {{ finish }} < {{ start }} then 0 else {{ hours_between(start, finish) }} end
{%- endmacro %}

{# Middle of the class a release time falls in: half hours up to 24, whole hours up to 120, 12 hours up to 720. #}
{% macro release_hours_class(hours) -%}
    case
        when {{ hours }} < 24 then floor({{ hours }} * 2) / 2 + 0.25
        when {{ hours }} < 120 then floor({{ hours }}) + 0.5
        when {{ hours }} < 720 then floor({{ hours }} / 12) * 12 + 6
        else 720
    end
{%- endmacro %}

{# Class of use of the yearly personal quota, 1 to 6. #}
{% macro quota_band_no(share) -%}
    case
        when {{ share }} <= 0.25 then 1
        when {{ share }} <= 0.50 then 2
        when {{ share }} <= 0.75 then 3
        when {{ share }} <= 0.90 then 4
        when {{ share }} <= 1 then 5
        else 6
    end
{%- endmacro %}

{% macro quota_band(band_no) -%}
    case {{ band_no }}
        when 1 then '0-25 %' when 2 then '25-50 %' when 3 then '50-75 %' when 4 then '75-90 %' when 5 then '90-100 %'
        else 'Over the limit'
    end
{%- endmacro %}

{# Goods of a train in the words managers read; 'Other' is what small cells are merged into, too. #}
{% macro goods_kind_words(column) -%}
    case {{ column }}
        when 'container' then 'Containers' when 'minerals' then 'Minerals' when 'grain' then 'Grain'
        when 'fertiliser' then 'Fertiliser' else 'Other'
    end
{%- endmacro %}

{% macro alert_severity_words(column) -%}
    case {{ column }} when 3 then 'Severe' when 2 then 'Check' else 'Note' end
{%- endmacro %}

{# Middle of the class hours on the railway fall in: tenths up to 6 hours (and before 0), then as release times. #}
{% macro rail_hours_class(hours) -%}
    case
        when {{ hours }} < 6 then floor({{ hours }} * 10) / 10 + 0.05
        when {{ hours }} is not null then {{ release_hours_class(hours) }}
    end
{%- endmacro %}

{% macro grain_result_words(column) -%}
    case {{ column }} when 'clean' then 'Clean' when 'suspect' then 'Suspect' when 'find' then 'Find' end
{%- endmacro %}

{% macro package_kind_words(column) -%}
    case {{ column }}
        when 'wood' then 'Wood packaging' when 'dangerous_goods' then 'Dangerous goods'
        when 'lithium' then 'Lithium batteries' when 'gas_cylinder' then 'Gas cylinders'
        when 'sealed' then 'Must stay closed' else 'Not stated'
    end
{%- endmacro %}

{# Kind of mineral as declared; 'Other' is what small cells are merged into, too. #}
{% macro material_words(column) -%}
    case {{ column }}
        when 'magnetite_concentrate' then 'Magnetite concentrate' when 'hematite_fines' then 'Hematite fines'
        when 'iron_pellets' then 'Iron pellets' when 'copper_concentrate' then 'Copper concentrate'
        else 'Not ordered'
    end
{%- endmacro %}

{# Middle of the class of a given width a value falls in. #}
{% macro value_class(value, width) -%}
    round(floor(({{ value }}) / {{ width }}) * {{ width }} + {{ width }} / 2.0, 4)
{%- endmacro %}
