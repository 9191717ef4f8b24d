"""The hosted checkout page: rendered here, alive without any script, nothing from elsewhere."""
