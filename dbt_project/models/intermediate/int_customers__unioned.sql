{{ union_entity('customers') }}
