"""The command ``replay``: a bag through the detector, and what is to be said of its answers."""
