"""Plain Python models: frames in, frames and fitted models out; no SQL, environment or clock."""
