with sessions as (

    select * from {{ ref('fct_sessions') }}

),

named as (

    select
        session_key,
        order_key,
        true as is_named_by_source
    from sessions
    where order_key is not null

),

-- orders that no session names, and sessions that name none and are not said to have ended without one
orders as (

    select
        placed.order_key,
        placed.customer_key,
        placed.ordered_at
    from {{ ref('fct_orders') }} as placed
    left join named on placed.order_key = named.order_key
    where placed.customer_key is not null and named.order_key is null

),

open_sessions as (

    select
        session_key,
        customer_key,
        started_at
    from sessions
    where order_key is null and coalesce(has_order, true)

),

-- an order belongs to the last session that began within the day before it
led as (

    select
        open_sessions.session_key,
        orders.order_key,
        orders.ordered_at,
        row_number() over (
            partition by orders.order_key order by open_sessions.started_at desc, open_sessions.session_key asc
        ) as session_rank
    from open_sessions
    inner join orders on open_sessions.customer_key = orders.customer_key
    where
        open_sessions.started_at <= orders.ordered_at
        and {{ dbt.dateadd('day', 1, 'open_sessions.started_at') }} > orders.ordered_at

),

-- and a session leads to one order, the next
ranked as (

    select
        session_key,
        order_key,
        row_number() over (partition by session_key order by ordered_at, order_key) as order_rank
    from led
    where session_rank = 1

),

joined as (

    select * from named

    union all

    select
        session_key,
        order_key,
        false as is_named_by_source
    from ranked
    where order_rank = 1

)

select
    joined.session_key,
    joined.order_key,
    sessions.source,
    sessions.customer_key,
    sessions.started_at,
    joined.is_named_by_source
from joined
inner join sessions on joined.session_key = sessions.session_key
