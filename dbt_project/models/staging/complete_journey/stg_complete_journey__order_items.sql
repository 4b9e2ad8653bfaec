{{ config(meta={'rebuilt_by': 'order'}) }}

with transactions as (

    select * from {{ raw_rows('complete_journey', 'transactions') }}
    where quantity > 0

),

petrol as (

    select product_id
    from {{ raw_rows('complete_journey', 'products') }}
    where product_type like 'GASOLINE%'

),

measured as (

    select
        transactions.*,
        -- petrol comes in thousandths of a gallon (10,597 units for 24.79 dollars) or as one fill
        cast(
            case
                when petrol.product_id is not null and transactions.quantity >= 100
                    then transactions.quantity / 1000.0
                else transactions.quantity
            end as decimal(18, 3)
        ) as unit_quantity
    from transactions
    left join petrol on transactions.product_id = petrol.product_id

),

renamed as (

    select
        -- ids
        {{ entity_key('complete_journey', 'basket_id') }} as order_key,
        cast(row_number() over (partition by basket_id order by product_id) as integer) as line_number,
        'complete_journey' as source,
        {{ customer_key('complete_journey', 'household_id') }} as customer_key,
        {{ product_key('complete_journey', 'product_id') }} as product_key,

        -- facts
        transaction_timestamp as ordered_at,
        unit_quantity as quantity,
        cast(sales_value / unit_quantity as decimal(18, 4)) as unit_price,
        cast(null as decimal(18, 4)) as unit_cost,
        cast(sales_value as decimal(18, 4)) as line_amount

    from measured

)

select * from renamed
