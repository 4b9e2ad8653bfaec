with source as (

    select * from {{ raw_rows('demo_sales', 'customer_links') }}

),

renamed as (

    select
        -- ids
        'demo_sales' as source,
        {{ customer_key('demo_sales', 'account_no') }} as customer_key,
        {{ customer_key('demo', 'customer_no') }} as linked_customer_key

    from source

)

select * from renamed
