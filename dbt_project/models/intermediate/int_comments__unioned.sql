{{ union_entity('comments') }}
