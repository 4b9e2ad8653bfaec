"""Forecasts: sales by day, week and month; stock, staff and opportunities to plan for."""
