{%- set by_quintile = var('rfm_scoring') == 'quintiles' -%}
{%- if var('rfm_scoring') not in ('quintiles', 'cut_points') -%}
    {{- exceptions.raise_compiler_error(
        'vars.rfm_scoring is "' ~ var('rfm_scoring') ~ '"; use quintiles or cut_points'
    ) -}}
{%- endif -%}

with as_of_dates as (

    select as_of from {{ ref('int_as_of_dates') }}

),

days as (

    select * from {{ ref('int_customer_days') }}

),

returned as (

    select
        returned.customer_key,
        as_of_dates.as_of,
        cast(sum(returned.returned_amount) as decimal(18, 4)) as returned_amount
    from {{ ref('fct_returns') }} as returned
    inner join as_of_dates on returned.returned_on <= as_of_dates.as_of
    where returned.customer_key is not null
    group by returned.customer_key, as_of_dates.as_of

),

measured as (

    select
        days.customer_key,
        as_of_dates.as_of,
        {{ days_between('days.ordered_on', 'as_of_dates.as_of') }} as recency_days,
        days.order_count,
        cast(days.gross_amount - coalesce(returned.returned_amount, 0) as decimal(18, 2)) as net_amount
    from days
    inner join as_of_dates on {{ spell_covers('days', 'as_of_dates.as_of') }}
    left join returned
        on
            days.customer_key = returned.customer_key
            and as_of_dates.as_of = returned.as_of

),

{% if by_quintile -%}

scored as (

    select
        *,
        {{ quintile_score('as_of', 'recency_days desc') }} as recency_score,
        {{ quintile_score('as_of', 'order_count') }} as frequency_score,
        {{ quintile_score('as_of', 'net_amount') }} as monetary_score
    from measured

),

{%- else -%}

bands as (

    select
        measure,
        score,
        coalesce(from_value, -9999999999) as from_value,
        coalesce(lead(from_value) over (partition by measure order by from_value nulls first), 9999999999) as to_value
    from {{ ref('rfm_cut_points') }}

),

scored as (

    select
        measured.*,
        recency.score as recency_score,
        frequency.score as frequency_score,
        monetary.score as monetary_score
    from measured
    inner join bands as recency
        on
            recency.measure = 'recency_days'
            and measured.recency_days >= recency.from_value
            and measured.recency_days < recency.to_value
    inner join bands as frequency
        on
            frequency.measure = 'order_count'
            and measured.order_count >= frequency.from_value
            and measured.order_count < frequency.to_value
    inner join bands as monetary
        on
            monetary.measure = 'net_amount'
            and measured.net_amount >= monetary.from_value
            and measured.net_amount < monetary.to_value

),

{%- endif %}

segments as (

    select * from {{ ref('rfm_segments') }}

)

select
    scored.customer_key,
    scored.as_of,
    scored.recency_days,
    scored.order_count,
    scored.net_amount,
    scored.recency_score,
    scored.frequency_score,
    scored.monetary_score,
    segments.rfm_segment
from scored
inner join segments
    on
        scored.recency_score = segments.recency_score
        and scored.frequency_score = segments.frequency_score
