{{ config(meta={'rebuilt_by': 'payment'}) }}

with source as (

    select * from {{ raw_rows('demo', 'payments') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo', 'payment_no') }} as payment_key,
        'demo' as source,
        {{ entity_key('demo', 'order_no') }} as order_key,
        {{ customer_key('demo', 'customer_no') }} as customer_key,

        -- what became of it
        method,
        status,
        cast(due_at as timestamp) as due_at,
        cast(paid_at as timestamp) as paid_at,
        cast(amount as decimal(18, 2)) as payment_amount

    from source

)

select * from renamed
