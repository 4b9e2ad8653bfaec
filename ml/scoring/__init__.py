"""One number that puts all customers in order: a weighted sum, its weights given or learned."""
