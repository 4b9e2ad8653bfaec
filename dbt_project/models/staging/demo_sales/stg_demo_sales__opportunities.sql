{{ config(meta={'rebuilt_by': 'opportunity'}) }}

with source as (

    select * from {{ raw_rows('demo_sales', 'opportunities') }}

),

renamed as (

    select
        -- ids: articles are the shop's
        {{ entity_key('demo_sales', 'opportunity_no') }} as opportunity_key,
        'demo_sales' as source,
        {{ customer_key('demo_sales', 'account_no') }} as customer_key,
        {{ entity_key('demo_sales', 'lead_no') }} as lead_key,
        {{ entity_key('demo_sales', 'owner_no') }} as owner_key,
        {{ product_key('demo', 'sku') }} as product_key,

        -- how it stands
        stage,
        cast(opened_at as timestamp) as opened_at,
        cast(closed_at as timestamp) as closed_at,
        expected_close_on,
        case stage when 'won' then true when 'lost' then false end as is_won,
        cast(amount as decimal(18, 2)) as opportunity_amount

    from source

)

select * from renamed
