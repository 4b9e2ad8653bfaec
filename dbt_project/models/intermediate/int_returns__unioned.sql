{{ union_entity('returns') }}
