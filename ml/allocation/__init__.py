"""Which offer to whom, under a budget and contact limits; every answer tells its gap to a bound."""
