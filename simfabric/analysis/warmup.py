"""Warm-up: where a run stops remembering how it began, by MSER-5.

The rule (White 1997; Hoad, Robinson, Davies 2010) takes means of five observations and cuts where the squared standard error of the rest is
least: cutting more would cost more samples than it takes bias away. It looks at the first half only, since the last few means are alike by
accident; an error that still falls there says that the run is too short to tell.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
BATCH = 5


def mser5(values: Array) -> int | None:
    """How many observations of a series float[n], in order of time, to leave out at the start; None where the series is too short to tell."""
    whole = len(values) // BATCH
    if whole < 4:
        return None
    means = np.asarray(values[: whole * BATCH], np.float64).reshape(whole, BATCH).mean(axis=1)
    means = means - means.mean()  # Squares of small numbers lose less.
    left = np.arange(whole, 0, -1)
    sums, squares = (np.cumsum(column[::-1])[::-1] for column in (means, means * means))
    error = (squares - sums * sums / left) / (left * left.astype(np.float64))
    cut = int(np.argmin(error[: whole // 2 + 1]))
    return cut * BATCH if cut < whole // 2 else None
