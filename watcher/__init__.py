"""Money in: from blocks to payments."""
