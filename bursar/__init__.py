"""The composition root: command line, daemon, supervision, demo."""
