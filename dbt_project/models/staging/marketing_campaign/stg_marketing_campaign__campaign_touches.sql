{#- not `rebuilt_by`: a customer's row is six touches, so any change in the table rebuilds everything -#}
with customers as (

    select * from {{ raw_rows('marketing_campaign', 'customers') }}

),

touches as (

    {% for number in range(1, 7) %}
    select
        customer_id,
        '{{ number }}' as campaign_id,
        accepted_{{ number }} as accepted,
        -- cost and revenue are known of the last campaign only
        {{ 'contact_cost' if number == 6 else 'cast(null as decimal(18, 2))' }} as contact_cost,
        {{ 'response_revenue' if number == 6 else 'cast(null as decimal(18, 2))' }} as response_revenue
    from customers
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

renamed as (

    select
        -- ids: everybody was offered every campaign
        {{ entity_key('marketing_campaign', "trim(customer_id) || '-' || campaign_id") }} as touch_key,
        'marketing_campaign' as source,
        {{ entity_key('marketing_campaign', 'campaign_id') }} as campaign_key,
        {{ customer_key('marketing_campaign', 'customer_id') }} as customer_key,

        -- no campaign has a date or a channel
        cast(null as timestamp) as touched_at,
        cast(null as {{ dbt.type_string() }}) as channel,
        cast(null as {{ dbt.type_string() }}) as experiment_arm,
        false as is_control,

        -- what came of it
        cast(null as boolean) as is_opened,
        accepted = 1 as is_responded,
        cast(null as boolean) as is_converted,
        cast(null as timestamp) as responded_at,
        cast(accepted * response_revenue as decimal(18, 2)) as response_amount,
        cast(contact_cost as decimal(18, 4)) as cost_amount

    from touches

)

select * from renamed
