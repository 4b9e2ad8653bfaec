select
    session_key,
    source,
    customer_key,
    started_at,
    started_on,
    channel,
    device,
    page_count,
    duration_seconds,
    is_bounce,
    is_product_viewed,
    is_cart_filled,
    is_checked_out,
    is_ordered
from {{ ref('int_sessions__funnelled') }}
