{{ config(meta={'rebuilt_by': 'product'}) }}

with names as (

    select * from {{ ref('base_online_retail__product_names') }}

),

-- a name from a sale beats a remark from a stock correction ("damaged", "?"), then the latest wins
ranked as (

    select
        stock_code,
        product_name,
        row_number() over (
            partition by stock_code
            order by
                case when product_name is null then 2 when last_sold_at is null then 1 else 0 end,
                coalesce(last_sold_at, last_seen_at) desc,
                product_name
        ) as name_rank
    from names

),

renamed as (

    select
        -- ids
        {{ product_key('online_retail', 'stock_code') }} as product_key,
        'online_retail' as source,

        -- attributes
        product_name,
        cast(null as {{ dbt.type_string() }}) as category,
        cast(null as {{ dbt.type_string() }}) as subcategory,
        -- postage, carriage, fees, discounts, samples, manual entries and gift vouchers
        upper(stock_code) not in (
            'POST', 'DOT', 'C2', 'D', 'M', 'S', 'B', 'PADS', 'BANK CHARGES', 'AMAZONFEE', 'CRUK'
        )
        and lower(stock_code) not like 'gift%' as is_merchandise

    from ranked
    where name_rank = 1

)

select * from renamed
