{{ config(meta={'rebuilt_by': 'touch'}) }}

with source as (

    select * from {{ raw_rows('demo_marketing', 'campaign_touches') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo_marketing', 'touch_no') }} as touch_key,
        'demo_marketing' as source,
        {{ entity_key('demo_marketing', 'campaign_no') }} as campaign_key,
        {{ customer_key('demo_marketing', 'customer_no') }} as customer_key,

        -- what was sent, by lot
        cast(touched_at as timestamp) as touched_at,
        channel,
        arm as experiment_arm,
        arm = 'control' as is_control,

        -- what they did
        is_opened,
        is_clicked as is_responded,
        is_converted,
        cast(clicked_at as timestamp) as responded_at,
        cast(order_amount as decimal(18, 2)) as response_amount,
        cast(cost_amount as decimal(18, 4)) as cost_amount

    from source

)

select * from renamed
