"""The run that the tests of pictures read, too."""

from tests.plot.conftest import result

__all__ = ["result"]
