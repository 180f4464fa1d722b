"""Sharing."""


class Sharing:
    """Later."""
