{{ config(meta={'rebuilt_by': 'customer'}) }}

with source as (

    select * from {{ raw_versions('demo', 'customers') }}

),

renamed as (

    select
        -- ids
        {{ customer_key('demo', 'customer_no') }} as customer_key,
        'demo' as source,

        -- when the record became so
        cast(updated_at as timestamp) as changed_at,

        -- attributes
        country,
        region,
        city,
        acquisition_channel,
        case gender when 'f' then 'female' when 'm' then 'male' when 'x' then 'other' end as gender,
        cast(birth_year as integer) as birth_year,
        cast(null as decimal(18, 2)) as income_amount,
        cast(null as {{ dbt.type_string() }}) as education,
        cast(null as {{ dbt.type_string() }}) as occupation,
        case marketing_permission when 'Y' then true when 'N' then false end as is_marketing_allowed

    from source

)

select * from renamed
