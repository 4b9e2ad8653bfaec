with settings as (

    select
        as_of,
        discount_rate
    from {{ source('control', 'run_settings') }}

),

orders as (

    select * from {{ ref('int_orders__sequenced') }}
    where customer_key is not null

),

returned as (

    select * from {{ ref('fct_returns') }}
    where customer_key is not null

),

ordered_totals as (

    select
        customer_key,
        cast(sum(gross_amount) as decimal(18, 4)) as gross_amount,
        cast(sum(cost_amount) as decimal(18, 4)) as cost_amount,
        -- a margin needs the cost of every line
        max(case when line_count > 0 and cost_amount is null then 1 else 0 end) = 0
        and count(cost_amount) > 0 as is_cost_known,
        count(*) as order_count,
        max_by(gross_amount, order_number) as single_event_amount,
        min(ordered_on) as first_order_on,
        max(ordered_on) as last_order_on
    from orders
    group by customer_key

),

returned_totals as (

    select
        customer_key,
        cast(sum(returned_amount) as decimal(18, 4)) as returned_amount,
        min(returned_on) as first_return_on
    from returned
    group by customer_key

),

customers as (

    select
        coalesce(ordered_totals.customer_key, returned_totals.customer_key) as customer_key,
        coalesce(ordered_totals.gross_amount, 0) as gross_amount,
        coalesce(returned_totals.returned_amount, 0) as returned_amount,
        coalesce(ordered_totals.gross_amount, 0) - coalesce(returned_totals.returned_amount, 0) as net_amount,
        coalesce(ordered_totals.is_cost_known, false) as is_cost_known,
        coalesce(ordered_totals.cost_amount, 0) as cost_amount,
        coalesce(ordered_totals.order_count, 0) as order_count,
        ordered_totals.single_event_amount,
        ordered_totals.first_order_on,
        ordered_totals.last_order_on,
        coalesce(ordered_totals.first_order_on, returned_totals.first_return_on) as discounted_to_on
    from ordered_totals
    full outer join returned_totals on ordered_totals.customer_key = returned_totals.customer_key

),

events as (

    select
        customer_key,
        ordered_on as happened_on,
        gross_amount as event_amount,
        coalesce(cost_amount, 0) as event_cost_amount
    from orders

    union all

    select
        customer_key,
        returned_on as happened_on,
        -returned_amount as event_amount,
        0 as event_cost_amount
    from returned

),

-- each event is rounded before the sum, so that the sum does not depend on the order of rows
discounted as (

    select
        events.customer_key,
        cast(sum(cast(
            (
                events.event_amount
                - case when customers.is_cost_known then events.event_cost_amount else 0 end
            )
            * power(
                1 + settings.discount_rate,
                -({{ days_between('customers.discounted_to_on', 'events.happened_on') }} / 365.0)
            )
            as decimal(18, 6)
        )) as decimal(18, 6)) as discounted_amount
    from events
    inner join customers on events.customer_key = customers.customer_key
    cross join settings
    group by events.customer_key

),

valued as (

    select
        customers.*,
        settings.as_of,
        case when customers.is_cost_known then customers.net_amount - customers.cost_amount end as margin_amount,
        customers.net_amount
        - case when customers.is_cost_known then customers.cost_amount else 0 end as cumulative_amount,
        discounted.discounted_amount
    from customers
    inner join discounted on customers.customer_key = discounted.customer_key
    cross join settings

)

select
    customer_key,
    as_of,
    cast(gross_amount as decimal(18, 2)) as gross_amount,
    cast(returned_amount as decimal(18, 2)) as returned_amount,
    cast(net_amount as decimal(18, 2)) as net_amount,
    cast(margin_amount as decimal(18, 2)) as margin_amount,
    order_count,
    cast(gross_amount / nullif(order_count, 0) as decimal(18, 2)) as average_order_amount,
    cast(single_event_amount as decimal(18, 2)) as single_event_amount,
    cast(cumulative_amount as decimal(18, 2)) as cumulative_amount,
    cast(discounted_amount as decimal(18, 2)) as discounted_amount,
    first_order_on,
    last_order_on,
    coalesce(
        cast(cumulative_amount as double) / nullif(cast(sum(cumulative_amount) over () as double), 0), 0
    ) as contribution_share
from valued
