"""Experiments: what a treatment changed, how sure that is, and how many people it takes to tell."""
