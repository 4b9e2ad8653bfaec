"""Which products are bought together, and which category a customer buys next."""
