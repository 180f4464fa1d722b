"""Compiling: one source, two ways to run it.

A kernel is a plain module-level function of numbers and arrays. Small runs call it as it stands, with arrays seen as memoryviews (plain
Python integers, no overflow); large runs call the very same source through numba. Which of the two is chosen never changes a bit of
the result, and a test says so. numba is imported here only, and only when a run is large enough to repay it (about 2 s of CPU).
"""

from __future__ import annotations

import dis
import functools
import hashlib
import os
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

MASK = 0xFFFF_FFFF_FFFF_FFFF
PACKAGE = Path(__file__).parent
Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def to_word(x: Any) -> Any:
    """An integer, or an array of them, as 64 unsigned bits (two's complement)."""
    if isinstance(x, np.ndarray):
        return x.astype(np.uint64)
    return int(x) & MASK


def to_number(x: Any) -> int:
    """A word below 2^63 as a signed integer, so that signed arithmetic goes on with it."""
    return int(x)


INLINED: set[Callable[..., Any]] = set()


def inlined(function: Kernel) -> Kernel:
    """Mark a function that compiled kernels take in whole: it is called once per frame and its bundles are costly to hand over."""
    INLINED.add(function)
    return function


def plain(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel as it stands. Arrays become memoryviews: their items are Python numbers and writes reach the array."""

    @functools.wraps(kernel)
    def call(*arguments: Any) -> Any:
        return kernel(*[_seen(a) for a in arguments])

    return call


def _seen(argument: Any) -> Any:
    if isinstance(argument, np.ndarray):
        view: Any = argument
        return memoryview(view)
    if isinstance(argument, tuple):
        return argument._make(map(_seen, argument)) if hasattr(argument, "_make") else tuple(map(_seen, argument))
    return argument


@functools.cache
def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel through numba, together with every function of this package that it calls. No fast-math: every operation is IEEE's."""
    import numba

    _cache_beside_sources(numba)
    special: dict[Any, Any] = {to_word: _cast(np.uint64), to_number: _cast(np.int64)}
    namespace: dict[str, Any] = {"__name__": kernel.__module__, "__builtins__": __builtins__}
    for name in _names(kernel.__code__):
        if name not in kernel.__globals__:
            continue
        value = kernel.__globals__[name]
        if isinstance(value, types.FunctionType) and value.__module__.startswith("simfabric"):
            value = special[value] if value in special else compiled(value)
        namespace[name] = value
    source = types.FunctionType(kernel.__code__, namespace, kernel.__name__, kernel.__defaults__)
    source.__module__ = kernel.__module__
    source.__qualname__ = kernel.__qualname__
    # Kernels allocate nothing, so they need no reference counts (_nrt): on every bundle in every call these cost more than the work.
    options: dict[str, Any] = {"cache": True, "nogil": True, "inline": "always" if kernel in INLINED else "never", "_nrt": False}
    compile_it: Any = numba.njit(**options)
    whole: Callable[..., Any] = compile_it(source)
    return whole


def chosen(kernel: Callable[..., Any], by_numba: bool) -> Callable[..., Any]:
    """The kernel in the form that a run asked for."""
    return compiled(kernel) if by_numba else plain(kernel)


def _names(code: types.CodeType) -> set[str]:
    names = {instruction.argval for instruction in dis.get_instructions(code) if instruction.opname == "LOAD_GLOBAL"}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


@functools.cache
def _cast(number: Any) -> Any:
    import numba

    def cast(x: Any) -> Any:
        return number(x)

    return numba.njit(cast)


@functools.cache
def _cache_beside_sources(numba: Any) -> None:
    """numba does not see a change in a callee of another file, so each state of the sources has a cache folder of its own."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("kernels/*.py"), *PACKAGE.glob("protocol/*.py"), *PACKAGE.glob("policies/*.py")]):
        digest.update(path.read_bytes())
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "simfabric")
    numba.config.CACHE_DIR = str(base / digest.hexdigest())
