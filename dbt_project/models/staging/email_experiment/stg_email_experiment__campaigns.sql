with touches as (

    select * from {{ ref('stg_email_experiment__campaign_touches') }}

),

renamed as (

    select distinct
        -- ids
        campaign_key,
        'email_experiment' as source,

        -- what it was
        'Merchandise by e-mail' as campaign_name,
        'email' as channel,
        'sale' as purpose,
        cast(null as timestamp) as started_at,
        cast(null as timestamp) as ended_at,
        cast(null as decimal(18, 2)) as cost_amount,
        true as is_experiment

    from touches

)

select * from renamed
