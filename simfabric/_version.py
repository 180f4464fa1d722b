"""The version of the package; part of every digest."""

__version__ = "0.1.0"
