with source as (

    select * from {{ raw_rows('demo_sales', 'owners') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo_sales', 'owner_no') }} as owner_key,
        'demo_sales' as source,

        -- where they sell
        team,
        region,
        role

    from source

)

select * from renamed
