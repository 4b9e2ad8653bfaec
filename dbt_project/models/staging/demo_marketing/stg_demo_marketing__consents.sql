{{ config(meta={'rebuilt_by': 'consent'}) }}

with source as (

    select * from {{ raw_rows('demo_marketing', 'consents') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo_marketing', 'consent_no') }} as consent_key,
        'demo_marketing' as source,
        {{ customer_key('demo_marketing', 'customer_no') }} as customer_key,

        -- what is allowed
        channel,
        purpose,
        cast(changed_at as timestamp) as changed_at,
        is_granted

    from source

)

select * from renamed
