{{ config(meta={'rebuilt_by': 'order'}) }}

with transactions as (

    -- coupons and corrections at the till: no unit changed hands, a few carry an amount
    select * from {{ raw_rows('complete_journey', 'transactions') }}
    where quantity <= 0

),

renamed as (

    select
        -- ids
        {{ entity_key('complete_journey', 'basket_id') }}
        || '-' || cast(product_id as {{ dbt.type_string() }}) as adjustment_key,
        {{ document_key('complete_journey', 'basket_id') }} as document_key,
        'complete_journey' as source,

        -- facts
        transaction_timestamp as adjusted_at,
        'no quantity' as reason,
        cast(quantity as decimal(18, 3)) as quantity,
        cast(sales_value as decimal(18, 4)) as adjusted_amount

    from transactions

)

select * from renamed
