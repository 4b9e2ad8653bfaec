"""Open opportunities: how likely each is won, and when it will be decided."""
