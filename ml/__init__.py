"""Plain Python models: frames in, frames and fitted models out. No Dagster, SQL, environment or clock."""
