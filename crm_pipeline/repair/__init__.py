"""Seeing what is wrong with a home, mending it, copying it, and tracing what it published."""
