{#-
    Amounts are in the company's currency, CRM_CURRENCY. A source in another one (its sources file
    says which) is converted at the last rate on or before the day of the fact; what lies before the
    first rate is in `int_without_rate` and in no mart. What has no day takes the latest rate.
    Where all enabled sources share one currency, the SQL is what it would be without this file.
-#}

{#- Enabled sources in another currency than the company's: name -> currency. -#}
{% macro foreign_currencies() %}
    {%- set found = {} -%}
    {%- set own = env_var('CRM_CURRENCY', '') if execute else '' -%}
    {%- if own -%}
        {%- set enabled = enabled_sources() -%}
        {%- for node in graph.sources.values() if node.schema == 'raw' and node.source_name in enabled -%}
            {%- set stated = (node.source_meta or {}).get('currency') -%}
            {%- if stated and stated != own -%}
                {%- do found.update({node.source_name: stated}) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return(found) -}}
{% endmacro %}


{#- The currency of a row of a foreign source; null for the company's own. -#}
{% macro foreign_currency(source_column, currencies) -%}
    case {{ source_column }}
        {%- for name, currency in currencies.items() | sort %} when '{{ name }}' then '{{ currency }}'{% endfor %} end
{%- endmacro %}


{#- The rate of a row: joins `rates` to it. -#}
{% macro join_rates(cte, day, currencies) -%}
left join {{ ref('int_exchange_rates') }} as rates
    on
        rates.currency = {{ foreign_currency(cte ~ '.source', currencies) }}
        and rates.rated_on <= coalesce({{ day }}, cast('9999-12-30' as date))
        and rates.next_rated_on > coalesce({{ day }}, cast('9999-12-30' as date))
{%- endmacro %}


{#-
    Rows of an entity with their amounts in the company's currency: the body of a CTE. Their
    `exchange_factor` is null where they were in it already. `day` is the business day whose rate counts; `also` are columns beside the entity's own.
-#}
{% macro in_company_currency(cte, entity, day, also=[]) -%}
    {%- set currencies = foreign_currencies() -%}
    {{ converted(cte, entity, day, also, currencies) }}
    {%- if currencies %}
    where rates.rate is not null or {{ foreign_currency(cte ~ '.source', currencies) }} is null
    {%- endif %}
{%- endmacro %}


{#- The same for what is no fact (an income): at the latest rate, null without one, no row left out. -#}
{% macro attributes_in_company_currency(cte, entity, also=[]) -%}
    {{ converted(cte, entity, 'cast(null as date)', also, foreign_currencies()) }}
{%- endmacro %}


{% macro converted(cte, entity, day, also, currencies) -%}
    {#- made while parsing, so the graph does not depend on settings -#}
    {%- set rates = ref('int_exchange_rates') if not execute or currencies -%}
    {%- if not currencies -%}
    select
        *,
        cast(null as decimal(18, 8)) as exchange_factor
    from {{ cte }}
    {%- else -%}
    select
        {%- for name, data_type in entity_columns(entity) if is_money(name) %}
        cast(
            case
                when {{ foreign_currency(cte ~ '.source', currencies) }} is null then {{ cte }}.{{ name }}
                -- a product of two decimals is as wide as the wider one
                else cast({{ cte }}.{{ name }} as decimal(30, 4)) * rates.rate
            end as {{ data_type }}
        ) as {{ name }},
        {%- endfor %}
        {%- set plain = [] -%}
        {%- for name, data_type in entity_columns(entity) if not is_money(name) -%}
            {%- do plain.append(cte ~ '.' ~ name) -%}
        {%- endfor -%}
        {%- for name in also -%}
            {%- do plain.append(cte ~ '.' ~ name) -%}
        {%- endfor %}
        {{ plain | join(',\n        ') }},
        rates.rate as exchange_factor
    from {{ cte }}
    {{ join_rates(cte, day, currencies) }}
    {%- endif -%}
{%- endmacro %}


{#-
    Rows that cannot be converted: a member of `int_without_rate`. `keys` are the columns by which
    partial builds replace them, of which these rows have `key`; `amount` is in their own currency.
-#}
{% macro rows_without_rate(relation, entity, row_key, key, keys, day, amount) -%}
    {%- set currencies = foreign_currencies() -%}
    {%- set rates = ref('int_exchange_rates') if not execute or currencies -%}
    select
        facts.source,
        '{{ entity }}' as entity,
        facts.{{ row_key }} as row_key,
        {%- for one in keys %}
        {{ 'facts.' ~ one if one == key else 'cast(null as ' ~ dbt.type_string() ~ ')' }} as {{ one }},
        {%- endfor %}
        {{ day }} as happened_on,
        {{ foreign_currency('facts.source', currencies) if currencies else 'cast(null as ' ~ dbt.type_string() ~ ')' }} as currency,
        cast({{ amount }} as decimal(18, 4)) as own_amount
    from {{ relation }} as facts
    {%- if currencies %}
    {{ join_rates('facts', day, currencies) }}
    where rates.rate is null and {{ foreign_currency('facts.source', currencies) }} is not null
    {%- else %}
    where false
    {%- endif %}
{%- endmacro %}


{#- Whether a column's name says that it holds money. -#}
{% macro is_money(name) -%}
    {{- return(name.endswith('_amount') or name in ('unit_price', 'unit_cost')) -}}
{%- endmacro %}
