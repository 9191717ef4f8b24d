"""The merchant's door: API, checkout page, webhook delivery, admin."""
