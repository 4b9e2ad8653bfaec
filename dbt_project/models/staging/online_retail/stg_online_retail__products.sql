{{ config(meta={'rebuilt_by': 'product'}) }}

with lines as (

    select * from {{ raw_rows('online_retail', 'transactions') }}

),

-- few pairs: the name is chosen among them instead of among the lines
descriptions as (

    select
        stock_code,
        description,
        max(case when {{ online_retail_line_kind() }} = 'sale' then invoiced_at end) as last_sold_at,
        max(invoiced_at) as last_seen_at
    from lines
    group by stock_code, description

),

names as (

    select
        trim(stock_code) as stock_code,
        nullif(trim(description), '') as product_name,
        max(last_sold_at) as last_sold_at,
        max(last_seen_at) as last_seen_at
    from descriptions
    group by trim(stock_code), nullif(trim(description), '')

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
