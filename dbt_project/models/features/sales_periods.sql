with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

customers as (

    select
        customer_key,
        country
    from {{ ref('dim_customers') }}

),

orders as (

    select
        orders.order_key,
        orders.ordered_on,
        orders.customer_key,
        coalesce(customers.country, '(unknown)') as country,
        case
            when orders.customer_key is null then 'unknown customer'
            when orders.order_number = 1 then 'first order'
            else 'repeat order'
        end as order_kind
    from {{ ref('fct_orders') }} as orders
    inner join settings on orders.ordered_on <= settings.as_of
    left join customers on orders.customer_key = customers.customer_key

),

lines as (

    select
        items.order_key,
        coalesce(products.category, '(unknown)') as category,
        cast(sum(items.line_amount) as decimal(18, 4)) as line_amount
    from {{ ref('fct_order_items') }} as items
    left join {{ ref('dim_products') }} as products on items.product_key = products.product_key
    group by items.order_key, coalesce(products.category, '(unknown)')

),

amounts as (

    select
        order_key,
        cast(sum(line_amount) as decimal(18, 4)) as order_amount
    from lines
    group by order_key

),

paid as (

    select
        orders.*,
        coalesce(amounts.order_amount, 0) as order_amount
    from orders
    left join amounts on orders.order_key = amounts.order_key

),

-- a customer's day: what is counted once for each of them is small from here on
described as (

    {% for dimension, value in {'total': "'total'", 'country': 'country', 'order_kind': 'order_kind'}.items() %}
    select
        '{{ dimension }}' as dimension,
        {{ value }} as dimension_value,
        ordered_on,
        customer_key,
        count(*) as order_count,
        sum(order_amount) as gross_amount
    from paid
    group by {{ value ~ ', ' if dimension != 'total' }}ordered_on, customer_key

    union all

    {% endfor %}
    -- an order of two categories counts in both
    select
        'category' as dimension,
        lines.category as dimension_value,
        orders.ordered_on,
        orders.customer_key,
        count(*) as order_count,
        sum(lines.line_amount) as gross_amount
    from orders
    inner join lines on orders.order_key = lines.order_key
    group by lines.category, orders.ordered_on, orders.customer_key

),

dated as (

    select
        'day' as period_grain,
        ordered_on as period_start_on,
        described.*
    from described

    union all

    select
        'week' as period_grain,
        {{ add_days('ordered_on', '1 - ' ~ iso_weekday('ordered_on')) }} as period_start_on,
        described.*
    from described

    union all

    select
        'month' as period_grain,
        {{ month_of('ordered_on') }} as period_start_on,
        described.*
    from described

)

select
    period_grain,
    period_start_on,
    dimension,
    dimension_value,
    cast(sum(gross_amount) as decimal(18, 2)) as gross_amount,
    cast(sum(order_count) as bigint) as order_count,
    count(distinct customer_key) as active_customers
from dated
group by period_grain, period_start_on, dimension, dimension_value
