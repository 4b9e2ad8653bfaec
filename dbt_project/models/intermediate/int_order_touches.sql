{{ config(materialized='table') }}

{%- set window_days = var('attribution_window_days') | int %}

with orders as (

    select
        order_key,
        customer_key,
        ordered_at,
        net_amount,
        cast(100 * net_amount as bigint) as cents
    from {{ ref('fct_orders') }}
    where customer_key is not null

),

touches as (

    select
        touches.touch_key,
        touches.campaign_key,
        touches.customer_key,
        touches.touched_at,
        coalesce(touches.channel, campaigns.channel, 'unknown') as channel
    from {{ ref('fct_campaign_touches') }} as touches
    inner join {{ ref('dim_campaigns') }} as campaigns on touches.campaign_key = campaigns.campaign_key
    where touches.customer_key is not null and touches.touched_at is not null and not touches.is_control

),

paired as (

    select
        orders.order_key,
        orders.customer_key,
        orders.net_amount,
        orders.cents,
        touches.touch_key,
        touches.campaign_key,
        touches.channel,
        row_number() over (
            partition by orders.order_key order by touches.touched_at, touches.touch_key
        ) as touch_number,
        count(*) over (partition by orders.order_key) as touch_count
    from orders
    inner join touches on orders.customer_key = touches.customer_key
    where
        touches.touched_at <= orders.ordered_at
        and touches.touched_at >= {{ dbt.dateadd('day', -window_days, 'orders.ordered_at') }}

),

divided as (

    select
        *,
        floor(cents / touch_count) as share_cents
    from paired

)

select
    order_key,
    customer_key,
    touch_key,
    campaign_key,
    channel,
    touch_number,
    touch_count,
    case when touch_number = 1 then net_amount end as first_amount,
    case when touch_number = touch_count then net_amount end as last_amount,
    -- equal shares in whole cents; those left over go to the earliest touches
    cast(
        (share_cents + case when touch_number <= cents - share_cents * touch_count then 1 else 0 end) / 100.0
        as decimal(18, 2)
    ) as linear_amount
from divided
