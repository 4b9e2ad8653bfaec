{{ config(meta={'rebuilt_by': 'subscription'}) }}

with source as (

    select * from {{ raw_rows('demo', 'memberships') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo', 'membership_no') }} as subscription_key,
        'demo' as source,
        {{ customer_key('demo', 'customer_no') }} as customer_key,
        {{ product_key('demo', 'sku') }} as product_key,

        -- what was agreed
        case sku when 'CLUB-BASIC' then 'basic' when 'CLUB-PLUS' then 'plus' end as plan,
        case term_months when 3 then 'three months' when 12 then 'one year' end as contract_term,
        payment_method,
        cast(started_at as timestamp) as started_at,
        cast(ended_at as timestamp) as ended_at,
        cast(months as integer) as tenure_months,

        -- amounts
        cast(monthly_price as decimal(18, 2)) as monthly_amount,
        cast(charged_amount as decimal(18, 2)) as charged_amount,

        -- services
        cast(1 as integer) as service_count,
        cast(null as {{ dbt.type_string() }}) as services,
        -- the dates say it
        cast(null as boolean) as is_churned

    from source

)

select * from renamed
