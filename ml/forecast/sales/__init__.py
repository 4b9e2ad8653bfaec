"""Sales, orders and active customers ahead: methods, backtest, reconciliation, intervals."""
