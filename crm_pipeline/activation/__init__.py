"""Audiences on their way out: who may be sent to, what a destination holds, what leaves.

Plain Python over the published file, the vault and a ledger of its own; no Dagster. An audience
itself is a dbt model (``dbt_project/models/activation/audience_<name>.sql``) with its yaml entry.
"""
