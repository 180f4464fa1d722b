"""Rules compiled are rules interpreted, bit for bit: exhaustively on small numbers, by chance on large ones."""

import inspect
import itertools
import random

import numpy as np
import pytest

from simfabric.compiling import compiled
from simfabric.protocol import codes, profiles, rules

RULES = {name: getattr(rules, name) for name in rules.__all__ if inspect.isfunction(getattr(rules, name))}
RULES |= {rule.__name__: rule for rule in (codes.close_class, codes.reason_of, codes.status_class)}
MOST = 4_000  # Combinations of small numbers; a rule with more of them sees this many of them, evenly.

SMALL = {"int": (-1, 0, 1, 2, 3), "float": (0.0, 0.2, 0.5, 1 - 2**-53), "bool": (False, True)}
SMALL_BY_NAME = {"factor": (1.0, 2.0, 3.5)}
# Largest values by name; other numbers are times, up to three years.
LARGEST = {"attempt": 300, "burst": 10**9, "cost": 10**9, "tokens": 10**18, "rate": 10**6, "code": 5_000, "status": 600, "fetch": 3, "state": 10, "kind": 25}


def arguments(rule):
    return {name: parameter.annotation for name, parameter in inspect.signature(rule).parameters.items()}


def small(rule):
    choices = [SMALL_BY_NAME.get(name, SMALL[kind]) for name, kind in arguments(rule).items()]
    combinations = np.prod([len(choice) for choice in choices])
    return itertools.islice(itertools.product(*choices), 0, None, int(max(1, -(-combinations // MOST) | 1)))


def large(rule, chance, count=500):
    def value(name, kind):
        if kind == "bool":
            return chance.random() < 0.5
        if kind == "float":
            return 1.0 + 4.0 * chance.random() if name == "factor" else chance.random()
        largest = LARGEST.get(name, 10**17)
        return chance.choice((chance.randrange(largest + 1), int(largest ** chance.random())))

    return [tuple(value(name, kind) for name, kind in arguments(rule).items()) for _ in range(count)]


def same(a, b):
    """Equal in value and in kind, so that 1 is not True and 1.0 is not 1."""
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def test_every_rule_takes_and_gives_plain_scalars():
    for rule in RULES.values():
        assert set(arguments(rule).values()) <= {"int", "float", "bool"}, rule.__name__
        assert inspect.signature(rule).return_annotation in ("int", "bool", "tuple[int, int, bool]"), rule.__name__


@pytest.mark.parametrize("name", RULES)
def test_a_compiled_rule_gives_the_same_bits(name):
    rule, fast = RULES[name], compiled(RULES[name])
    known = len(fast.signatures)  # Of other rules that call this one.
    for given in itertools.chain(small(rule), large(rule, random.Random(name))):
        assert same(fast(*given), rule(*given)), given
    assert len(fast.signatures) <= known + 1  # It was compiled once: no argument changed its type on the way.


def test_every_close_code_has_the_same_class_compiled():
    fast = compiled(codes.close_class)
    assert [fast(code) for code in range(6_000)] == [codes.close_class(code) for code in range(6_000)]


def test_the_waits_of_every_profile_are_the_same_compiled():
    fast = compiled(profiles.wait)
    chance = random.Random(1)
    for profile in profiles.PROFILES.values():
        schedule = np.array(profile.schedule, np.int64)
        for attempt in range(80):
            down_for, u = chance.randrange(200) * 10**9, chance.random()
            numbers = (profile.kind, profile.first, profile.factor, profile.cap, profile.centre, profile.jitter, profile.extra, schedule, profile.late)
            assert same(fast(*numbers, attempt, down_for, u), profile.wait(attempt, u, down_for))
