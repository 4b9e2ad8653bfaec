{{ union_entity('customer_links') }}
