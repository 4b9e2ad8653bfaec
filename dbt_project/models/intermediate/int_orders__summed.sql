{{ config(materialized='incremental', meta={'touched': {'order_key': 'int_orders__touched'}}) }}

with lines as (

    select * from {{ lines_made() }}
    where {{ is_touched('order_key', 'int_orders__touched') }}

),

ordered as (

    select * from {{ ref('int_orders__unioned') }}
    where {{ is_touched('order_key', 'int_orders__touched') }}

),

-- of an order without a rate no line is counted: see int_without_rate
headers as (

    {{ in_company_currency('ordered', 'orders', business_day('ordered.ordered_at')) }}

),

summed as (

    select
        order_key,
        min(source) as source,
        min_by(customer_key, case when customer_key is not null then line_number end) as customer_key,
        min_by(ordered_at, line_number) as ordered_at,
        count(*) as line_count,
        sum(quantity) as item_quantity,
        sum(line_amount) as gross_amount,
        count(unit_cost) as costed_line_count,
        sum(cast(quantity * unit_cost as decimal(18, 4))) as cost_amount
    from lines
    group by order_key

),

orders as (

    select
        coalesce(summed.order_key, headers.order_key) as order_key,
        coalesce(headers.source, summed.source) as source,
        coalesce(headers.customer_key, summed.customer_key) as customer_key,
        coalesce(summed.ordered_at, headers.ordered_at) as ordered_at,
        headers.channel,
        coalesce(summed.line_count, 0) as line_count,
        cast(coalesce(summed.item_quantity, 0) as decimal(18, 3)) as item_quantity,
        cast(coalesce(summed.gross_amount, 0) as decimal(18, 4)) as gross_amount,
        cast(
            case when summed.costed_line_count = summed.line_count then summed.cost_amount end
            as decimal(18, 4)
        ) as cost_amount
    from summed
    full outer join headers on summed.order_key = headers.order_key

)

select
    *,
    {{ business_day('ordered_at') }} as ordered_on
from orders
