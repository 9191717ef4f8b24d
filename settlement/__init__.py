"""Money out: from balances to payouts."""
