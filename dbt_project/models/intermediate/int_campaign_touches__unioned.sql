{{ union_entity('campaign_touches') }}
