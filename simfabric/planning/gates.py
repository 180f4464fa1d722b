"""Gates: whether a topology may go to production. Suites of runs with traffic that ends and faults that it must survive, each with its criteria.

    topology ─▶ scenarios: functional, resilience, scale, security ─▶ runs ─▶ evidence ─▶ criteria ─▶ passed | failed | unknown

Every scenario but the one of scale is the topology without its own faults, run for as long as it says and then for the time that a recovery may
take (slo.recovery_p99), in which nobody publishes: by then whoever is connected must have everything. A criterion that the run did not exercise
is unknown, and a gate does not pass on it.

Leaves out: faults of services that the topology does not have; revoked sessions, subscribes and publishes without permission.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

from simfabric.analysis.slo import Objective
from simfabric.errors import SimfabricError, TopologyError, shown
from simfabric.planning.many import run_many
from simfabric.planning.swarm import complete
from simfabric.planning.tables import aligned, as_html
from simfabric.recorder import TIMELINE
from simfabric.running import Result
from simfabric.topology import Topology
from simfabric.units import write_duration, write_share
from simfabric.world import SECOND

Answer = Literal["passed", "failed", "unknown"]
SUITES = ("functional", "resilience", "scale", "security")
Fault = dict[str, object]
RECOVERED = 0.99  # Share of the clients that must be back and complete within the promised time.
MOST_LOAD = 0.8  # Utilisation of the busiest row that leaves room for a load a quarter higher.


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a run has shown, as far as criteria look at it."""

    broken: tuple[str, ...]  # Laws.
    complete: str  # valid, invalid or unknown.
    lacks: str  # What is lacking, in words.
    lost: dict[str, int]  # Obligations closed without delivery, by reason.
    duplicates: int  # On the wire.
    breaks: int
    in_time: float | None  # Share of recoveries within the promise.
    objectives: tuple[tuple[str, str, bool | None], ...]  # Of the topology: name, what was found, whether it was met.
    bottleneck: str
    load: float  # Utilisation of the bottleneck's busiest row.


Criteria = tuple[Callable[[Evidence, Topology], tuple[str, str, Answer]], ...]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion of one scenario, and what became of it."""

    suite: str
    scenario: str
    asks: str
    found: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run, by what it changes, and what it must show."""

    suite: str
    name: str
    faults: list[Fault] | None  # None: the topology as it stands.
    criteria: Criteria


@dataclass(frozen=True, slots=True, repr=False)
class Gate:
    """Every criterion of a topology."""

    topology: Topology
    criteria: tuple[Criterion, ...]

    @property
    def passed(self) -> bool:
        """Whether all criteria are met; an unknown one is not."""
        return all(criterion.answer == "passed" for criterion in self.criteria)

    def summary(self) -> str:
        """A line for each criterion, and the answer."""
        rows = [(c.answer.upper() if c.answer != "passed" else c.answer, c.suite, c.scenario, c.asks, c.found) for c in self.criteria]
        counted = {answer: sum(c.answer == answer for c in self.criteria) for answer in ("passed", "failed", "unknown")}
        told = ", ".join(f"{n} {answer}" for answer, n in counted.items() if n)
        lines = aligned(("answer", "suite", "scenario", "criterion", "found"), rows, left=5)
        return "\n".join([*lines, "", f"{'PASSED' if self.passed else 'NOT PASSED'}: {told}"])

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        rows = [(c.answer, c.suite, c.scenario, c.asks, c.found) for c in self.criteria]
        return as_html(f"gate of {self.topology.name}", ("answer", "suite", "scenario", "criterion", "found"), rows)


def gate(
    topology: Topology,
    suites: Sequence[str] = SUITES,
    *,
    executor: Executor | None = None,
    processes: int | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> Gate:
    """Run the scenarios of these suites on a topology and judge them. Raises what `run_many` raises."""
    chosen = [scenario for scenario in scenarios(topology) if scenario.suite in suites]
    shown = run_many([played(topology, scenario) for scenario in chosen], evidence, executor=executor, processes=processes, tell=tell)
    return Gate(topology, tuple(judged for scenario, facts in zip(chosen, shown) for judged in judge(topology, scenario, facts)))


def suites_of(names: Sequence[str] | None) -> tuple[str, ...]:
    """The suites that somebody names, all if nobody does. Raises SimfabricError."""
    for name in names or ():
        if name not in SUITES:
            raise SimfabricError(f"--suite {shown(name)}: there is no such suite; cure: one of {', '.join(SUITES)}")
    return tuple(names or SUITES)


def judge(topology: Topology, scenario: Scenario, facts: Evidence) -> Iterator[Criterion]:
    """What the evidence of a scenario says to each of its criteria."""
    for criterion in scenario.criteria:
        yield Criterion(scenario.suite, scenario.name, *criterion(facts, topology))


def played(topology: Topology, scenario: Scenario) -> Topology:
    """The topology of a scenario; see the module."""
    if scenario.faults is None:
        return topology
    duration = topology.run.duration
    changes: dict[str, object] = {"faults": scenario.faults, "run.duration": f"{duration + topology.slo.recovery_p99}ns"}
    for place, source in enumerate(topology.traffic):
        changes[f"traffic[{place}].until"] = f"{min(duration, source.until or duration)}ns"
    return topology.with_(changes)


def scenarios(topology: Topology) -> Iterator[Scenario]:
    """The scenarios that make sense for a topology: a fault comes after a third of the time after the warm-up, and lasts a sixth of it."""
    run = topology.run
    at, long = run.warmup + (run.duration - run.warmup) // 3, max(1_000_000, (run.duration - run.warmup) // 6)
    down, lasts = {"at": f"{at}ns", "down": f"{long}ns"}, {"at": f"{at}ns", "length": f"{long}ns"}
    whole = (laws_hold, everything_arrives, nothing_saved_is_lost)
    yield Scenario("functional", "no fault", [], (laws_hold, everything_arrives, nothing_is_lost))
    faults: tuple[tuple[str, str, Fault, Criteria], ...] = (
        ("resilience", "a gateway dies", {"kind": "kill_node", **down, "target": {"gateway": "one"}}, (*whole, clients_recover)),
        ("resilience", "all gateways restart by plan", {"kind": "restart_node", **down, "target": {"gateway": "all"}}, (*whole, clients_recover)),
        ("resilience", "a gateway is cut off", {"kind": "split_network", **lasts, "target": {"gateway": "one"}}, whole),
        ("resilience", "half of the connections break", {"kind": "reset_connections", "at": f"{at}ns", "share": "50%"}, (*whole, clients_recover)),
        ("resilience", "a router dies", {"kind": "kill_node", **down, "target": {"router": "one"}}, (*whole, duplicates_are_hidden)),
        ("resilience", "a broker restarts", {"kind": "restart_broker", **down, "target": {"broker": "one"}}, whole),
        ("resilience", "the store stops", {"kind": "degrade_store", **lasts, "factor": "0"}, whole),
        ("security", "all tokens become void", {"kind": "fail_tokens", **lasts, "factor": "1", "expire": "true"}, whole),
    )
    for suite, name, fault, criteria in faults:
        scenario = Scenario(suite, name, [fault], criteria)
        with contextlib.suppress(TopologyError):  # It strikes what this topology does not have.
            played(topology, scenario)
            yield scenario
    yield Scenario("scale", "as it stands", None, (laws_hold, promises_are_kept, there_is_room))


def evidence(result: Result) -> Evidence:
    """What criteria look at, of a run."""
    whole = complete(result)
    breaks = int(result.timeline[-1, TIMELINE.index("breaks")])
    return Evidence(
        broken=tuple(verdict.law for verdict in result.laws if verdict.verdict == "invalid"),
        complete=whole.verdict,
        lacks=whole.detail,
        lost={reason: n for reason, n in result.end.dropped.items() if n},
        duplicates=result.end.tried["duplicate"],
        breaks=breaks,
        in_time=result.recovered_in_time,
        objectives=tuple((objective.name, _value(objective), objective.met) for objective in result.slo),
        bottleneck=result.bottleneck.component,
        load=result.bottleneck.utilisation,
    )


def laws_hold(facts: Evidence, _: Topology) -> tuple[str, str, Answer]:
    """Conservation, Little's identity, bounds: what every run checks."""
    return "every law holds", ", ".join(facts.broken) or "all", "failed" if facts.broken else "passed"


def everything_arrives(facts: Evidence, _: Topology) -> tuple[str, str, Answer]:
    """Live, by replay or as a snapshot."""
    answers: dict[str, Answer] = {"valid": "passed", "invalid": "failed", "unknown": "unknown"}
    found = {"valid": "nobody lacks any", "invalid": facts.lacks, "unknown": "what was dropped last, only a later message would show"}
    return "who is connected has every message", found[facts.complete], answers[facts.complete]


def nothing_is_lost(facts: Evidence, _: Topology) -> tuple[str, str, Answer]:
    """Without a fault nothing may be closed without delivery, but by a limit of the topology."""
    lost = {reason: n for reason, n in facts.lost.items() if reason != "limited"}
    return "no message ends undelivered", _told(lost), "failed" if lost else "passed"


def nothing_saved_is_lost(facts: Evidence, _: Topology) -> tuple[str, str, Answer]:
    """A publisher whose message was saved believes that it will arrive; one whose gateway died before that sends it again."""
    lost = {reason: n for reason, n in facts.lost.items() if reason not in ("limited", "gateway_died_before_save", "snapshot")}
    return "no saved message is lost", _told(lost), "failed" if lost else "passed"


def duplicates_are_hidden(facts: Evidence, _: Topology) -> tuple[str, str, Answer]:
    """What is routed again after a crash reaches users once: else the law of deliveries (C1d) is broken."""
    hidden = not any(law.startswith("C1d") for law in facts.broken)
    found = f"{facts.duplicates} on the wire, {'none' if hidden else 'some'} shown"
    return "duplicates are hidden", found, ("passed" if facts.duplicates else "unknown") if hidden else "failed"


def clients_recover(facts: Evidence, topology: Topology) -> tuple[str, str, Answer]:
    """Connected, subscribed and complete again."""
    asks = f"{write_share(RECOVERED)} of clients recover within {write_duration(topology.slo.recovery_p99)}"
    if not facts.breaks or facts.in_time is None:
        return asks, "no connection broke" if not facts.breaks else "nobody recovered", "failed" if facts.breaks else "unknown"
    return asks, f"{facts.in_time:.1%} of {facts.breaks}", "passed" if facts.in_time >= RECOVERED else "failed"


def promises_are_kept(facts: Evidence, _: Topology) -> tuple[str, str, Answer]:
    """The service level objectives of the topology, at its load; what nobody needed (no break, no replay) is none of them."""
    judged = [(name, found, met) for name, found, met in facts.objectives if met is not None or name.startswith("delivery")]
    missed = [f"{name} {found}" for name, found, met in judged if met is False]
    kept = ", ".join(f"{name} {found}" for name, found, _ in judged)
    unknown = any(met is None for _, _, met in judged)
    return "every promise (slo) is kept", ", ".join(missed) or kept, "failed" if missed else ("unknown" if unknown else "passed")


def there_is_room(facts: Evidence, _: Topology) -> tuple[str, str, Answer]:
    """A bottleneck that is nearly saturated has no room for a peak."""
    return f"no row works more than {MOST_LOAD:.0%} of the time", f"{facts.bottleneck} {facts.load:.1%}", "passed" if facts.load <= MOST_LOAD else "failed"


def _value(objective: Objective) -> str:
    if objective.value is None:
        return "too few samples"
    return write_duration(round(objective.value * SECOND)) if objective.unit == "s" and objective.value < 1e9 else f"{objective.value:.4g}"


def _told(lost: dict[str, int]) -> str:
    return ", ".join(f"{n} by {reason.replace('_', ' ')}" for reason, n in lost.items()) or "none"
