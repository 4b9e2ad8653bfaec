{{ config(meta={'rebuilt_by': 'customer'}) }}

with countries as (

    select * from {{ ref('base_online_retail__customer_countries') }}

),

ranked as (

    select
        customer_id,
        country,
        min(first_invoiced_at) over (partition by customer_id) as recorded_at,
        row_number() over (
            partition by customer_id
            order by case when country is null then 1 else 0 end asc, last_invoiced_at desc, country asc
        ) as country_rank
    from countries

),

renamed as (

    select
        -- ids
        {{ customer_key('online_retail', 'customer_id') }} as customer_key,
        'online_retail' as source,

        -- when the shop first knew them
        recorded_at,

        -- attributes
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

    from ranked
    where country_rank = 1

)

select * from renamed
