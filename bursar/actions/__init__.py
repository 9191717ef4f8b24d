"""What the commands do; :mod:`bursar.commands` holds what they look like."""
