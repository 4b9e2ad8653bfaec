{{ union_entity('opportunity_stages') }}
