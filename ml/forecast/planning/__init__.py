"""What a forecast is for: agents to answer contacts, stock to order again."""
