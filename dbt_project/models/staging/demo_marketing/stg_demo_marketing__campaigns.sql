with source as (

    select * from {{ raw_rows('demo_marketing', 'campaigns') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo_marketing', 'campaign_no') }} as campaign_key,
        'demo_marketing' as source,

        -- what it was
        campaign_name,
        channel,
        purpose,
        cast(started_at as timestamp) as started_at,
        cast(ended_at as timestamp) as ended_at,
        cast(cost_amount as decimal(18, 2)) as cost_amount,
        is_experiment

    from source

)

select * from renamed
