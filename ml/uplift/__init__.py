"""Uplift: whom a treatment changes, and whether that differs from person to person."""
