"""What became of a replay, as one HTML file for people."""
