"""The commands' names, options and help; imports of weight wait until one runs."""
