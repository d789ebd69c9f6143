"""Command lines: thin, one a module; what they do lives elsewhere."""
