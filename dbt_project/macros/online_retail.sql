{#- What a line of Online Retail's ledger is; staging models need it in five places. -#}
{% macro online_retail_line_kind() -%}
    case
        when invoice_no like 'A%' then 'bad debt'
        when invoice_no like 'C%' and quantity < 0 and unit_price >= 0 then 'return'
        when invoice_no like 'C%' then 'cancellation'
        when quantity <= 0 then 'stock correction'
        else 'sale'
    end
{%- endmacro %}


{#- "17850.0" and "17850" are the same customer; landing's `identity` says the same. -#}
{% macro online_retail_customer_id() -%}
    case
        when customer_id like '%.0' then substring(customer_id, 1, length(customer_id) - 2)
        else customer_id
    end
{%- endmacro %}
