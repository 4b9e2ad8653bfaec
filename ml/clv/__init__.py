"""Customer value: how often customers buy, how much, and what that is worth."""
