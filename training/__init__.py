"""Training of the demo model. Not installed with the package."""
