with source as (

    select * from {{ source('online_retail', 'transactions') }}

),

classified as (

    select
        -- ids
        invoice_no,
        trim(stock_code) as stock_code,
        -- "17850.0" and "17850" are the same customer
        regexp_replace(trim(customer_id), '[.]0$', '') as customer_id,

        -- facts
        trim(description) as product_name,
        country,
        quantity,
        unit_price,
        cast(quantity * unit_price as decimal(18, 4)) as line_amount,
        invoiced_at,
        case
            when invoice_no like 'A%' then 'bad debt'
            when invoice_no like 'C%' and quantity < 0 and unit_price >= 0 then 'return'
            when invoice_no like 'C%' then 'cancellation'
            when quantity <= 0 then 'stock correction'
            else 'sale'
        end as line_kind,

        -- where the line stands
        _file,
        _line

    from source

)

select * from classified
