"""A chain that costs nothing to serve: made once, kept as JSON text, sent from memory."""
