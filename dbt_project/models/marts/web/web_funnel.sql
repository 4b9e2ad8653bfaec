{%- set steps = ['product_view', 'cart', 'checkout', 'order'] -%}

with sessions as (

    select
        *,
        {{ month_of('started_on') }} as month
    from {{ ref('web_sessions') }}

),

counted as (

    select
        month,
        channel,
        device,
        {% for step in steps %}
        {{ measure(step ~ '_known_sessions') }} as {{ step }}_known_sessions,
        {{ measure(step ~ '_seen_sessions') }} as {{ step }}_seen_sessions,
        {% endfor %}
        {{ measure('session_count') }} as session_count
    from sessions
    group by month, channel, device

),

-- a step of which some sessions tell nothing has no count: it would be too low
stepped as (

    select
        month,
        channel,
        device,
        {% for step in steps %}
        {{ metric(step ~ '_sessions') }} as {{ step }}_sessions,
        {% endfor %}
        session_count
    from counted

)

select
    month,
    channel,
    device,
    session_count,
    {% for step in steps %}
    {{ step }}_sessions,
    {% endfor %}
    {{ metric('product_view_rate') }} as product_view_rate,
    {{ metric('cart_rate') }} as cart_rate,
    {{ metric('checkout_rate') }} as checkout_rate,
    {{ metric('completion_rate') }} as completion_rate,
    {{ metric('session_conversion_rate') }} as conversion_rate,
    {{ rate_end('-', 'order_sessions', 'session_count') }} as conversion_low_rate,
    {{ rate_end('+', 'order_sessions', 'session_count') }} as conversion_high_rate
from stepped
