{{ config(meta={'rebuilt_by': 'ticket'}) }}

with source as (

    select * from {{ raw_rows('demo_desk', 'ticket_events') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo_desk', 'ticket_no') }}
        || '-' || cast(event_no as {{ dbt.type_string() }}) as ticket_event_key,
        'demo_desk' as source,
        {{ entity_key('demo_desk', 'ticket_no') }} as ticket_key,
        {{ entity_key('demo_desk', 'agent_no') }} as owner_key,

        -- what happened
        cast(event_no as integer) as event_number,
        cast(occurred_at as timestamp) as occurred_at,
        state as ticket_state,
        coalesce(is_response, false) as is_response

    from source

)

select * from renamed
