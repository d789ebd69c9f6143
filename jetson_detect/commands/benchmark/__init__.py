"""The command ``benchmark``: what detection costs, beside how others do it."""
