-- a source that names orders says by naming none that there was none
with naming as (

    select
        source,
        count(order_key) > 0 as names_orders
    from {{ ref('fct_sessions') }}
    group by source

),

sessions as (

    select
        sessions.*,
        case
            when session_orders.session_key is not null then true
            when sessions.has_order is not null then sessions.has_order
            -- of a known customer orders were looked for
            when sessions.customer_key is not null or naming.names_orders then false
        end as is_ordered
    from {{ ref('fct_sessions') }} as sessions
    inner join naming on sessions.source = naming.source
    left join {{ ref('session_orders') }} as session_orders on sessions.session_key = session_orders.session_key

),

-- a step reached shows that those before it were
checked_out as (

    select
        *,
        case when has_checkout is not null then has_checkout or coalesce(is_ordered, false) end as is_checked_out
    from sessions

),

filled as (

    select
        *,
        case
            when has_cart is not null
                then has_cart or coalesce(is_checked_out, false) or coalesce(is_ordered, false)
        end as is_cart_filled
    from checked_out

)

select
    session_key,
    source,
    customer_key,
    started_at,
    started_on,
    coalesce(channel, 'unknown') as channel,
    coalesce(device, 'unknown') as device,
    page_count,
    duration_seconds,
    is_bounce,
    case
        when has_product_view is not null
            then
                has_product_view or coalesce(is_cart_filled, false) or coalesce(is_checked_out, false)
                or coalesce(is_ordered, false)
    end as is_product_viewed,
    is_cart_filled,
    is_checked_out,
    is_ordered
from filled
