{{ config(meta={'rebuilt_by': 'ticket'}) }}

with incident_events as (

    select
        *,
        row_number() over (partition by number order by sys_updated_at desc, sys_mod_count desc) as recency
    from {{ raw_rows('support_incidents', 'incident_events') }}

),

-- an update repeats what is known of the incident: the latest says it best
renamed as (

    select
        -- ids
        {{ entity_key('support_incidents', 'number') }} as ticket_key,
        'support_incidents' as source,
        {{ customer_key('support_incidents', 'caller_id') }} as customer_key,
        cast(null as {{ dbt.type_string() }}) as product_key,
        cast(null as {{ dbt.type_string() }}) as order_key,
        {{ entity_key('support_incidents', 'assigned_to') }} as owner_key,

        -- what it is about
        opened_at,
        replace(lower(trim(contact_type)), ' ', '_') as channel,
        category,
        subcategory,
        case trim(priority)
            when '1' then 'critical'
            when '2' then 'high'
            when '3' then 'moderate'
            when '4' then 'low'
        end as priority,

        -- incidents of a help desk are neither praise nor blame
        cast(null as boolean) as is_complaint,
        made_sla as is_sla_met

    from incident_events
    where recency = 1

)

select * from renamed
