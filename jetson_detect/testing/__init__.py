"""Bags as tests, for this package and for others: docs/bags-as-tests.md."""
