"""Where audiences go: each kind takes deliveries and may say whom it holds."""
