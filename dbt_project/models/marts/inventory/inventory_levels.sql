with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

counted as (

    select
        inventory.*,
        settings.as_of,
        row_number() over (
            partition by inventory.product_key
            order by inventory.counted_at desc, inventory.inventory_key desc
        ) as number_back
    from {{ ref('fct_inventory') }} as inventory
    inner join settings on inventory.counted_on <= settings.as_of

)

select
    product_key,
    as_of,
    source,
    counted_on,
    {{ days_between('counted_on', 'as_of') }} as age_days,
    on_hand_quantity,
    on_order_quantity,
    lead_time_days
from counted
where number_back = 1
