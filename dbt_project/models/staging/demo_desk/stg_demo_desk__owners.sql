with source as (

    select * from {{ raw_rows('demo_desk', 'agents') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo_desk', 'agent_no') }} as owner_key,
        'demo_desk' as source,

        -- where they work
        team,
        region,
        role

    from source

)

select * from renamed
