{{ config(meta={'rebuilt_by': 'customer'}) }}

with source as (

    select * from {{ raw_rows('demo_sales', 'accounts') }}

),

renamed as (

    select
        -- ids
        {{ customer_key('demo_sales', 'account_no') }} as customer_key,
        'demo_sales' as source,

        -- when the company first knew them
        cast(created_at as timestamp) as recorded_at,

        -- attributes: firms have no age
        country,
        cast(null as {{ dbt.type_string() }}) as region,
        cast(null as {{ dbt.type_string() }}) as city,
        cast(null as {{ dbt.type_string() }}) as acquisition_channel,
        cast(null as {{ dbt.type_string() }}) as gender,
        cast(null as integer) as birth_year,
        cast(null as decimal(18, 2)) as income_amount,
        cast(null as {{ dbt.type_string() }}) as education,
        cast(null as {{ dbt.type_string() }}) as occupation,
        cast(null as boolean) as is_marketing_allowed

    from source

)

select * from renamed
