{{ union_entity('companies') }}
