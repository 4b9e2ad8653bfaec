{{ config(meta={'rebuilt_by': 'opportunity'}) }}

with sales_pipeline as (

    select * from {{ raw_rows('crm_sales', 'sales_pipeline') }}

),

aliases as (

    select
        alias,
        product_id
    from {{ ref('product_aliases') }}
    where source = 'crm_sales'

),

products as (

    select
        product,
        sales_price
    from {{ source('crm_sales', 'products') }}

),

identified as (

    select
        sales_pipeline.*,
        coalesce(aliases.product_id, sales_pipeline.product) as product_id
    from sales_pipeline
    left join aliases on sales_pipeline.product = aliases.alias

),

renamed as (

    select
        -- ids
        {{ entity_key('crm_sales', 'identified.opportunity_id') }} as opportunity_key,
        'crm_sales' as source,
        {{ customer_key('crm_sales', 'identified.account') }} as customer_key,
        cast(null as {{ dbt.type_string() }}) as lead_key,
        {{ pseudonymous_key('crm_sales', 'identified.sales_agent') }} as owner_key,
        {{ product_key('crm_sales', 'identified.product_id') }} as product_key,

        -- how it stands
        identified.deal_stage as stage,
        {{ start_of_business_day('identified.engage_date') }} as opened_at,
        {{ start_of_business_day('identified.close_date') }} as closed_at,
        cast(null as date) as expected_close_on,
        case identified.deal_stage when 'Won' then true when 'Lost' then false end as is_won,

        -- what it brought; what was not sold was worth its list price
        case
            when identified.deal_stage = 'Won' then identified.close_value
            else products.sales_price
        end as opportunity_amount

    from identified
    left join products on identified.product_id = products.product

)

select * from renamed
