{{ union_entity('sessions') }}
