{{ config(meta={'rebuilt_by': 'order'}) }}

with adjusted as (

    select * from {{ touched_rows(ref('base_online_retail__lines'), 'online_retail', 'invoice_no') }}
    where line_kind in ('bad debt', 'cancellation', 'stock correction')

),

numbered as (

    select
        *,
        row_number() over (partition by trim(invoice_no) order by _line, _file) as line_number
    from adjusted

),

renamed as (

    select
        -- ids
        {{ entity_key('online_retail', 'invoice_no') }}
        || '-' || cast(line_number as {{ dbt.type_string() }}) as adjustment_key,
        {{ document_key('online_retail', 'invoice_no') }} as document_key,
        'online_retail' as source,

        -- facts
        invoiced_at as adjusted_at,
        line_kind as reason,
        cast(quantity as decimal(18, 3)) as quantity,
        line_amount as adjusted_amount

    from numbered

)

select * from renamed
