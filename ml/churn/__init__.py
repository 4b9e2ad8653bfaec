"""Churn: the probability that a customer places no order within the horizon, and why."""
