{{ union_entity('owners') }}
