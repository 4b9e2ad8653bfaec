with source as (

    select * from {{ source('online_retail', 'transactions') }}

),

classified as (

    select
        -- ids
        invoice_no,
        stock_code,
        -- "17850.0" and "17850" are the same customer
        case
            when customer_id like '%.0' then substring(customer_id, 1, length(customer_id) - 2)
            else customer_id
        end as customer_id,

        -- facts
        description,
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
