"""Experiments and uplift: what a treatment changes, for whom, and whether that can be trusted."""
