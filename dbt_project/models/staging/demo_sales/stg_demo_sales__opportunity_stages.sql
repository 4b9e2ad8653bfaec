{{ config(meta={'rebuilt_by': 'opportunity'}) }}

with source as (

    select * from {{ raw_rows('demo_sales', 'opportunity_stages') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo_sales', 'opportunity_no') }} || '-' || stage as opportunity_stage_key,
        'demo_sales' as source,
        {{ entity_key('demo_sales', 'opportunity_no') }} as opportunity_key,

        -- what was entered
        cast(entered_at as timestamp) as entered_at,
        stage

    from source

)

select * from renamed
