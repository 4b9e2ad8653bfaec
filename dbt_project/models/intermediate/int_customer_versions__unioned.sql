{{ union_entity('customer_versions') }}
