{{ config(materialized='incremental', meta={'touched': {'session_key': 'int_sessions__touched'}}) }}

with sessions as (

    select * from {{ ref('int_sessions__unioned') }}
    where {{ is_touched('session_key', 'int_sessions__touched') }}

),

-- who names an order has seen one
completed as (

    select
        session_key,
        source,
        customer_key,
        order_key,
        started_at,
        channel,
        device,
        visitor_type,
        page_count,
        product_page_count,
        duration_seconds,
        bounce_rate,
        exit_rate,
        product_page_count > 0 as has_product_view,
        has_cart,
        has_checkout,
        case when order_key is not null then true else has_order end as has_order
    from sessions

)

select
    session_key,
    source,
    customer_key,
    order_key,
    started_at,
    {{ business_day('started_at') }} as started_on,
    channel,
    device,
    visitor_type,
    page_count,
    product_page_count,
    duration_seconds,
    bounce_rate,
    exit_rate,
    page_count <= 1
    and not coalesce(has_cart, false) and not coalesce(has_checkout, false) and not coalesce(has_order, false)
        as is_bounce,
    has_product_view,
    has_cart,
    has_checkout,
    has_order
from completed
