{{ config(meta={'rebuilt_by': 'ticket'}) }}

with incident_events as (

    select
        *,
        nullif(incident_state, '-100') as known_state,
        row_number() over (partition by number order by sys_updated_at, sys_mod_count) as event_number
    from {{ raw_rows('support_incidents', 'incident_events') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('support_incidents', 'number') }}
        || '-' || cast(event_number as {{ dbt.type_string() }}) as ticket_event_key,
        'support_incidents' as source,
        {{ entity_key('support_incidents', 'number') }} as ticket_key,
        {{ entity_key('support_incidents', 'assigned_to') }} as owner_key,

        -- what happened
        cast(event_number as integer) as event_number,
        sys_updated_at as occurred_at,
        replace(lower(trim(known_state)), ' ', '_') as ticket_state,
        -- nobody has turned to it while it is new; what state it was in may be lost
        coalesce(known_state <> 'New', false) as is_response

    from incident_events

)

select * from renamed
