"""A fake of pycuda 2025.1; see the README beside."""

VERSION = (2025, 1, 2)
VERSION_TEXT = "2025.1.2"
