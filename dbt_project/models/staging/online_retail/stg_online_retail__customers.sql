{{ config(meta={'rebuilt_by': 'customer'}) }}

with invoiced as (

    select
        {{ online_retail_customer_id() }} as customer_id,
        country,
        invoiced_at
    from {{ raw_rows('online_retail', 'transactions') }}
    where customer_id is not null

),

-- few pairs: the latest country is found among them instead of among the lines
seen as (

    select
        customer_id,
        country,
        min(invoiced_at) as first_invoiced_at,
        max(invoiced_at) as last_invoiced_at
    from invoiced
    group by customer_id, country

),

countries as (

    select
        trim(customer_id) as customer_id,
        nullif(trim(country), '') as country,
        min(first_invoiced_at) as first_invoiced_at,
        max(last_invoiced_at) as last_invoiced_at
    from seen
    where trim(customer_id) <> ''
    group by trim(customer_id), nullif(trim(country), '')

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
