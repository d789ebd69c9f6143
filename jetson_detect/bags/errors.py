"""What can be wrong with a bag."""

from __future__ import annotations


class BagError(Exception):
    """A bag that cannot be read or written; the message names it and says what to do."""


class BagExistsError(BagError):
    """A bag that was not to be replaced is in the way."""
