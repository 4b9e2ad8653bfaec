with touches as (

    select * from {{ ref('stg_marketing_campaign__campaign_touches') }}

),

renamed as (

    select distinct
        -- ids
        campaign_key,
        'marketing_campaign' as source,
        'Campaign ' || substring(campaign_key, length('marketing_campaign:') + 1) as campaign_name,

        -- of the last one the cost of a contact is known, which stands on its touches
        cast(null as {{ dbt.type_string() }}) as channel,
        cast(null as {{ dbt.type_string() }}) as purpose,
        cast(null as timestamp) as started_at,
        cast(null as timestamp) as ended_at,
        cast(null as decimal(18, 2)) as cost_amount,
        false as is_experiment

    from touches

)

select * from renamed
