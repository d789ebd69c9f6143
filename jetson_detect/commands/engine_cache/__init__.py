"""The command ``engine_cache``: what was built, whether it is whole, and its removal."""
