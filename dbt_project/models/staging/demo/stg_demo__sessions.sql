{{ config(meta={'rebuilt_by': 'session'}) }}

with source as (

    select * from {{ raw_rows('demo', 'sessions') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo', 'session_no') }} as session_key,
        'demo' as source,
        {{ customer_key('demo', 'customer_no') }} as customer_key,

        -- how they came
        cast(started_at as timestamp) as started_at,
        traffic_source as channel,
        device,
        visitor_type,

        -- what they saw
        cast(page_count as integer) as page_count,
        cast(product_page_count as integer) as product_page_count,
        cast(duration_seconds as decimal(18, 3)) as duration_seconds,
        cast(null as double) as bounce_rate,
        cast(null as double) as exit_rate,

        -- how far they went
        has_cart,
        has_checkout,
        order_no is not null as has_order,
        {{ entity_key('demo', 'order_no') }} as order_key

    from source

)

select * from renamed
