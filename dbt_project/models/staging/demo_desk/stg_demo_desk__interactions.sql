{{ config(meta={'rebuilt_by': 'interaction'}) }}

with source as (

    select * from {{ raw_rows('demo_desk', 'interactions') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo_desk', 'interaction_no') }} as interaction_key,
        'demo_desk' as source,
        {{ customer_key('demo_desk', 'customer_no') }} as customer_key,
        {{ entity_key('demo_desk', 'ticket_no') }} as ticket_key,

        -- what was said, where
        cast(occurred_at as timestamp) as occurred_at,
        channel,
        direction,
        kind,
        cast(duration_seconds as integer) as duration_seconds

    from source

)

select * from renamed
