with settings as (

    select as_of from {{ source('control', 'run_settings') }}

)

-- of products that somebody counts: the others have no stock to plan for
select
    items.product_key,
    items.ordered_on as sold_on,
    cast(sum(items.quantity) as decimal(18, 3)) as sold_quantity
from {{ ref('fct_order_items') }} as items
inner join settings on items.ordered_on <= settings.as_of
where items.product_key in (select counted.product_key from {{ ref('fct_inventory') }} as counted)
group by items.product_key, items.ordered_on
