{#-
    Time of the help desk: business hours between two instants, and what follows from them.

    `int_business_days` has, for each day of a calendar, its opening in UTC and the seconds open
    before it. The business seconds between two instants are the difference of two look-ups there, so
    each costs one join by day, whatever lies between.
-#}

{#- The calendar that the help desk works by: vars.service_calendar. -#}
{% macro service_calendar() -%}'{{ var('service_calendar') }}'{%- endmacro %}


{#- Minutes from midnight of HH:MM; 24:00 is the day's end. -#}
{% macro minutes_of(clock) -%}
    cast(substring({{ clock }}, 1, 2) as integer) * 60 + cast(substring({{ clock }}, 4, 2) as integer)
{%- endmacro %}


{#-
    Seconds that the calendar was open before an instant, counted from its first day; `day` is the row
    of int_business_days for the instant's business day.
-#}
{% macro open_seconds_until(instant, day) -%}
    {{ day }}.open_seconds_before
    + least(greatest({{ seconds_between(day ~ '.opens_at', instant) }}, 0), {{ day }}.open_seconds)
{%- endmacro %}


{#- Hours of some seconds, to a third of a second. -#}
{% macro hours_of(seconds) -%}
    cast(({{ seconds }}) / 3600.0 as decimal(18, 4))
{%- endmacro %}


{#-
    Whether a target was kept: known once it is done or the target has passed; null while there is
    time left, and without a target. `elapsed` is what has passed of it by now.
-#}
{% macro is_within(taken, elapsed, target) -%}
    case
        when {{ taken }} is not null then {{ taken }} <= {{ target }}
        when {{ elapsed }} > {{ target }} then false
    end
{%- endmacro %}
