{%- set steps = {
    'product_view_sessions': 'is_product_viewed',
    'cart_sessions': 'is_cart_filled',
    'checkout_sessions': 'is_checked_out',
    'order_sessions': 'is_ordered',
} -%}

with sessions as (

    select
        *,
        {{ month_of('started_on') }} as month
    from {{ ref('int_sessions__funnelled') }}

),

-- a step of which some sessions tell nothing has no count: it would be too low
counted as (

    select
        month,
        channel,
        device,
        {% for name, flag in steps.items() %}
        case when count({{ flag }}) = count(*) then sum(case when {{ flag }} then 1 else 0 end) end as {{ name }},
        {% endfor %}
        count(*) as session_count
    from sessions
    group by month, channel, device

)

select
    month,
    channel,
    device,
    session_count,
    {% for name in steps %}
    cast({{ name }} as bigint) as {{ name }},
    {% endfor %}
    {{ mean_of('product_view_sessions', 'session_count') }} as product_view_rate,
    {{ mean_of('cart_sessions', 'product_view_sessions') }} as cart_rate,
    {{ mean_of('checkout_sessions', 'cart_sessions') }} as checkout_rate,
    {{ mean_of('order_sessions', 'checkout_sessions') }} as completion_rate,
    {{ mean_of('order_sessions', 'session_count') }} as conversion_rate,
    {{ rate_end('-', 'order_sessions', 'session_count') }} as conversion_low_rate,
    {{ rate_end('+', 'order_sessions', 'session_count') }} as conversion_high_rate
from counted
