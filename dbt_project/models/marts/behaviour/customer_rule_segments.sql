{%- set measures = [
    'order_count', 'monthly_amount', 'average_order_amount', 'average_order_ratio', 'days_since_order',
    'page_count', 'page_ratio',
] -%}
{#- of these a company without known visits has none: their conditions do not count there -#}
{%- set of_visits = ['page_count', 'page_ratio'] -%}

with measured as (

    select * from {{ ref('int_customers__measures') }}

),

-- measures have four decimals, so "more than" is "from one unit more"
conditions as (

    select
        rule_segment,
        measure,
        case comparison when '>=' then threshold when '>' then threshold + 0.0001 end as from_value,
        case comparison when '<' then threshold when '<=' then threshold + 0.0001 end as below_value
    from {{ ref('rule_segments') }}

),

-- one row a segment: a customer is in it while all of its conditions hold
rules as (

    select
        {% for measure in measures %}
        max(case when measure = '{{ measure }}' then from_value end) as {{ measure }}_from,
        min(case when measure = '{{ measure }}' then below_value end) as {{ measure }}_below,
        {% endfor %}
        rule_segment
    from conditions
    group by rule_segment

),

members as (

    select
        measured.customer_key,
        measured.as_of,
        rules.rule_segment
    from measured
    cross join rules
    where
        true
        {% for measure in measures %}
        {% set uncounted = 'measured.page_count is null or ' if measure in of_visits else '' %}
        and ({{ uncounted }}rules.{{ measure }}_from is null or measured.{{ measure }} >= rules.{{ measure }}_from)
        and ({{ uncounted }}rules.{{ measure }}_below is null or measured.{{ measure }} < rules.{{ measure }}_below)
        {% endfor %}

),

numbered_dates as (

    select
        as_of,
        row_number() over (order by as_of) as as_of_number
    from {{ ref('int_as_of_dates') }}

),

-- within an unbroken run of as-of dates both numbers grow alike
runs as (

    select
        members.customer_key,
        members.as_of,
        members.rule_segment,
        numbered_dates.as_of_number
        - row_number() over (
            partition by members.customer_key, members.rule_segment order by members.as_of
        ) as run_number
    from members
    inner join numbered_dates on members.as_of = numbered_dates.as_of

)

select
    customer_key,
    as_of,
    rule_segment,
    min(as_of) over (partition by customer_key, rule_segment, run_number) as since_on
from runs
