{{ union_entity('customer_tags') }}
