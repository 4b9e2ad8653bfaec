{{ config(meta={'rebuilt_by': 'customer'}) }}

with source as (

    select * from {{ raw_rows('demo_marketing', 'profiles') }}

),

renamed as (

    select
        -- ids
        {{ customer_key('demo_marketing', 'customer_no') }} as customer_key,
        'demo_marketing' as source,

        -- when they told
        cast(answered_at as timestamp) as recorded_at,

        -- attributes: what else is known of them is the shop's
        cast(null as {{ dbt.type_string() }}) as country,
        cast(null as {{ dbt.type_string() }}) as region,
        cast(null as {{ dbt.type_string() }}) as city,
        cast(null as {{ dbt.type_string() }}) as acquisition_channel,
        cast(null as {{ dbt.type_string() }}) as gender,
        cast(null as integer) as birth_year,
        cast(income as decimal(18, 2)) as income_amount,
        lower(trim(education)) as education,
        lower(trim(occupation)) as occupation,
        cast(null as boolean) as is_marketing_allowed

    from source

)

select * from renamed
