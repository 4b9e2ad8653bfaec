{{ union_entity('consents') }}
