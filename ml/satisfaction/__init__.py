"""What free text says of a customer's satisfaction, without keeping the text."""
