"""Open opportunities and leads: how likely each is won or converts, and when."""
