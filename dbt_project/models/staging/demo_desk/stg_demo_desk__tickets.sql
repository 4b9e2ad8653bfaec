{{ config(meta={'rebuilt_by': 'ticket'}) }}

with source as (

    select * from {{ raw_rows('demo_desk', 'tickets') }}

),

renamed as (

    select
        -- ids: numbers of orders and articles are the shop's
        {{ entity_key('demo_desk', 'ticket_no') }} as ticket_key,
        'demo_desk' as source,
        {{ customer_key('demo_desk', 'customer_no') }} as customer_key,
        {{ product_key('demo', 'sku') }} as product_key,
        {{ entity_key('demo', 'order_no') }} as order_key,
        {{ entity_key('demo_desk', 'agent_no') }} as owner_key,

        -- what it is about
        cast(opened_at as timestamp) as opened_at,
        channel,
        category,
        cast(null as {{ dbt.type_string() }}) as subcategory,
        priority,
        is_complaint,
        cast(null as boolean) as is_sla_met

    from source

)

select * from renamed
