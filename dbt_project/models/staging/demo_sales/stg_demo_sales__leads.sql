{{ config(meta={'rebuilt_by': 'lead'}) }}

with source as (

    select * from {{ raw_rows('demo_sales', 'leads') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo_sales', 'lead_no') }} as lead_key,
        'demo_sales' as source,
        {{ customer_key('demo_sales', 'account_no') }} as customer_key,
        {{ entity_key('demo_sales', 'owner_no') }} as owner_key,

        -- what became of it
        cast(created_at as timestamp) as created_at,
        channel,
        status,
        cast(converted_at as timestamp) as converted_at,
        case when converted_at is not null then {{ entity_key('demo_sales', 'opportunity_no') }} end as opportunity_key

    from source

)

select * from renamed
