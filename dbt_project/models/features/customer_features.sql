{%- set look_backs = [30, 90, 180, 365] -%}
{%- set longest = look_backs | last -%}

with dates as (

    select distinct cut_off_on from {{ ref('cut_offs') }}

),

days as (

    select * from {{ ref('int_customer_days') }}

),

rhythms as (

    select * from {{ ref('int_customer_rhythms') }}

),

aged as (

    select
        dates.cut_off_on,
        days.customer_key,
        days.day_order_count,
        days.day_gross_amount,
        {{ days_between('days.ordered_on', 'dates.cut_off_on') }} as days_ago
    from days
    inner join dates
        on
            days.ordered_on <= dates.cut_off_on
            and days.ordered_on > {{ add_days('dates.cut_off_on', -longest) }}

),

recent as (

    select
        {% for days in look_backs %}
        cast(sum(case when days_ago < {{ days }} then day_order_count else 0 end) as bigint)
            as order_count_{{ days }}d,
        cast(sum(case when days_ago < {{ days }} then day_gross_amount else 0 end) as decimal(18, 4))
            as gross_amount_{{ days }}d,
        {% endfor %}
        cut_off_on,
        customer_key
    from aged
    group by cut_off_on, customer_key

),

returned as (

    select
        dates.cut_off_on,
        returns.customer_key,
        count(*) as return_count,
        cast(sum(returns.returned_amount) as decimal(18, 4)) as returned_amount
    from {{ ref('fct_returns') }} as returns
    inner join dates on returns.returned_on <= dates.cut_off_on
    where returns.customer_key is not null
    group by dates.cut_off_on, returns.customer_key

),

new_products as (

    select * from {{ ref('int_customer_days__new_products') }}

),

products as (

    select
        dates.cut_off_on,
        new_products.customer_key,
        cast(sum(new_products.product_count) as bigint) as distinct_product_count
    from new_products
    inner join dates on new_products.bought_on <= dates.cut_off_on
    group by dates.cut_off_on, new_products.customer_key

),

-- the customer as the last order by the cut-off left them
combined as (

    select
        dates.cut_off_on,
        days.*,
        rhythms.mean_gap_days,
        rhythms.median_gap_days,
        rhythms.stddev_gap_days,
        coalesce(returned.return_count, 0) as return_count,
        coalesce(returned.returned_amount, 0) as returned_amount,
        coalesce(products.distinct_product_count, 0) as distinct_product_count,
        {% for days in look_backs %}
        coalesce(recent.order_count_{{ days }}d, 0) as order_count_{{ days }}d,
        coalesce(recent.gross_amount_{{ days }}d, 0) as gross_amount_{{ days }}d,
        {% endfor %}
        {{ days_between('days.ordered_on', 'dates.cut_off_on') }} as recency_days
    from days
    inner join dates on {{ spell_covers('days', 'dates.cut_off_on') }}
    left join rhythms
        on
            days.customer_key = rhythms.customer_key
            and days.order_count = rhythms.order_count
    left join recent
        on
            days.customer_key = recent.customer_key
            and dates.cut_off_on = recent.cut_off_on
    left join returned
        on
            days.customer_key = returned.customer_key
            and dates.cut_off_on = returned.cut_off_on
    left join products
        on
            days.customer_key = products.customer_key
            and dates.cut_off_on = products.cut_off_on

)

select
    -- ids
    cut_off_on,
    customer_key,

    -- dates and ages
    first_order_on,
    ordered_on as last_order_on,
    recency_days,
    {{ days_between('first_order_on', 'cut_off_on') }} as age_days,

    -- orders
    order_count,
    purchase_day_count,
    purchase_day_count - 1 as repeat_count,
    {{ days_between('first_order_on', 'ordered_on') }} as last_repeat_age_days,
    {{ days_between('first_order_on', 'cut_off_on') }} as observed_age_days,
    -- of the paid repeat days: a day on which nothing was paid says when, not how much
    cast(
        (paid_amount - first_paid_amount)
        / nullif(paid_day_count - case when first_paid_amount > 0 then 1 else 0 end, 0) as decimal(18, 4)
    ) as repeat_mean_amount,

    -- amounts
    cast(gross_amount as decimal(18, 2)) as gross_amount,
    cast(returned_amount as decimal(18, 2)) as returned_amount,
    cast(gross_amount - returned_amount as decimal(18, 2)) as net_amount,
    cast(gross_amount / order_count as decimal(18, 2)) as average_order_amount,

    -- lately
    {% for days in look_backs %}
    order_count_{{ days }}d,
    cast(gross_amount_{{ days }}d as decimal(18, 2)) as gross_amount_{{ days }}d,
    {% endfor %}

    -- rhythm
    mean_gap_days,
    median_gap_days,
    stddev_gap_days,
    latest_gap_days,
    recency_days / nullif(mean_gap_days, 0) as recency_to_gap_ratio,

    -- what was bought and what came back
    item_quantity,
    line_count,
    distinct_product_count,
    return_count,
    coalesce(cast(returned_amount as double) / nullif(cast(gross_amount as double), 0), 0) as returned_share
from combined
