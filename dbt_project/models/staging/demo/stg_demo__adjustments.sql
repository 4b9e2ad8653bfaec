{{ config(meta={'rebuilt_by': 'order'}) }}

with source as (

    select * from {{ raw_rows('demo', 'adjustments') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo', 'adjustment_no') }} as adjustment_key,
        {{ document_key('demo', 'document_no') }} as document_key,
        'demo' as source,

        -- facts
        cast(adjusted_at as timestamp) as adjusted_at,
        reason,
        cast(quantity as decimal(18, 3)) as quantity,
        cast(booked_amount as decimal(18, 4)) as adjusted_amount

    from source

)

select * from renamed
