{{ union_entity('inventory') }}
