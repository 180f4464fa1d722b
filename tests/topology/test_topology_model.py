"""A topology is frozen data: defaults, round trips, digests and changes."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from topology_corpus import GOOD

from simfabric.chance import Law
from simfabric.errors import TopologyError
from simfabric.topology import Topology, loads
from simfabric.topology.channels import Channels, GivenChannel, Members
from simfabric.topology.section import as_text

DEFAULT = loads("version: 1\n")
FULL = loads(GOOD)


def problems(topology: Topology, changes: dict[str, object]) -> list[str]:
    with pytest.raises(TopologyError) as caught:
        topology.with_(changes)
    return [f"{problem.place}: {problem.law}" for problem in caught.value.problems]


def test_a_version_alone_is_a_topology_of_defaults() -> None:
    assert Topology() == DEFAULT
    assert (DEFAULT.run.duration, DEFAULT.run.warmup, DEFAULT.run.window) == (60_000_000_000, 5_000_000_000, None)
    assert DEFAULT.clients.delay == Law("lognormal", (20e6, 150e6))
    assert (DEFAULT.gateways.memory, DEFAULT.gateways.work.delivery) == (8_000_000_000, Law("constant", (4000.0,)))
    assert [(source.name, source.kind, source.to, source.per) for source in DEFAULT.traffic] == [("chat", "users", "subscribed", "user")]
    assert (DEFAULT.clients.start, DEFAULT.clients.bandwidth, DEFAULT.network.bus_hop, DEFAULT.published) == (0, 20_000_000, None, None)


def test_every_key_of_a_full_file_means_what_it_says() -> None:
    assert (FULL.name, FULL.description) == ("Café stage", "Two lines,\nwith 'quotes' and a # sign.\n")
    assert (FULL.run.window, FULL.run.messages, FULL.clients.start) == (5_000_000, 10_000, 20_000_000_000)
    assert [(region.name, region.share, region.delay.name) for region in FULL.clients.regions] == [("near", 0.75, "lognormal"), ("far", 0.25, "weibull")]
    assert [(each.members_share, each.members_count) for each in FULL.channels.given] == [(1.0, None), (None, 250)]
    assert [(source.rate, source.per, source.to) for source in FULL.traffic] == [
        (0.05, "user", "subscribed"),
        (0.5, "all", "all"),
        (pytest.approx(6 / 3600, rel=1e-15), "channel", "uniform"),
        (None, "all", "popularity"),
        (9.0, "all", "subscribed"),
    ]
    assert FULL.gateways.pauses is not None
    assert FULL.gateways.pauses.length == Law("quantiles", (0.0, 1e6, 0.5, 3e6, 0.99, 34e6, 1.0, 314e6))
    assert (FULL.gateways.work.byte_out, FULL.bus.acks, FULL.storage.enabled, FULL.gateways.buffer) == (0.5, "leader", False, 262_144)
    assert [fault.target.gateway for fault in FULL.faults] == [3, "one"]
    assert FULL.published is not None and FULL.published.quantiles[1].delay == 1_000_000_000


@pytest.mark.parametrize("topology", [DEFAULT, FULL], ids=["defaults", "full"])
def test_what_is_written_reads_back_to_an_equal_topology(topology: Topology) -> None:
    again = loads(topology.to_yaml())
    assert again == topology
    assert (again.digest, hash(again)) == (topology.digest, hash(topology))
    assert again.to_yaml() == topology.to_yaml()


@pytest.mark.parametrize("topology", [DEFAULT, FULL], ids=["defaults", "full"])
def test_what_is_written_holds_every_key_and_other_readers_read_it_too(topology: Topology) -> None:
    content = yaml.safe_load(topology.to_yaml())
    assert set(content) == {name for name, known in Topology.declared().items() if known.default is not None or getattr(topology, name) is not None}
    assert content["gateways"]["work"].keys() == as_text(topology)["gateways"]["work"].keys()
    assert content["run"]["window"] == ("exact" if topology is DEFAULT else "5ms")


@given(st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=90))
@settings(max_examples=60, deadline=None)
def test_any_text_survives_the_round_trip(text: str) -> None:
    topology = DEFAULT.with_({"description": text, "traffic.chat.name": f"x{text}"})
    assert loads(topology.to_yaml()) == topology
    assert yaml.safe_load(topology.to_yaml())["description"] == topology.description == unicodedata.normalize("NFC", text)


def test_the_digest_changes_with_the_content_and_not_with_its_writing() -> None:
    assert loads("version: 1\nrun: {duration: 60s}\n").digest == DEFAULT.digest == loads("version: 1\nrun:\n  duration: 60_000ms # a minute\n").digest
    assert DEFAULT.with_({"run.seed": 2}).digest != DEFAULT.digest
    assert len(DEFAULT.digest) == 64


def test_a_topology_is_frozen_and_travels_to_other_processes() -> None:
    with pytest.raises(ValidationError):
        DEFAULT.run = FULL.run  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(FULL))
    assert again == FULL and again.source == FULL.source


def test_keys_change_by_path_by_number_and_by_name() -> None:
    changed = FULL.with_(
        {
            "gateways.count": 80,
            "traffic[1].rate": "2/s",
            "traffic.rooms.arrivals": "regular",
            "channels.given.staff.members": "50%",
            "clients.regions[0].delay": "5ms",
            "faults[0]": {"at": "5s"},
            "faults[1].target.gateway": 79,
            "run.window": "exact",
        }
    )
    assert (changed.gateways.count, changed.run.window) == (80, None)
    assert [source.rate for source in changed.traffic[:2]] == [0.05, 2.0]
    assert changed.traffic[2].arrivals == "regular"
    assert changed.channels.given[1].members_share == 0.5
    assert changed.clients.regions[0].delay == Law("constant", (5e6,))
    assert [(fault.at, fault.target.gateway) for fault in changed.faults] == [(5_000_000_000, "one"), (60_000_000_000, 79)]
    assert loads(GOOD) == FULL
    assert changed.with_({"gateways.count": 4, "faults[1].target.gateway": "one"}).gateways == FULL.gateways


def test_numbers_booleans_laws_and_whole_sections_are_values_too() -> None:
    changed = DEFAULT.with_(
        {
            "clients.count": np.int64(500),
            "clients.behind_nat": 0.25,
            "channels.popularity": 1.5,
            "storage.enabled": False,
            "storage.work": Law("exponential", (1e6,)),
            "clients.tenant_popularity": 1.2345678901234567e-05,
            "gateways.pauses": {"every": "10s", "length": "5ms"},
            "gateways.work.byte_out": 0,
            "faults": [{"at": "10s"}, {"at": "20s", "down": "1s"}],
            "traffic": [{"name": "a", "kind": "producers", "rate": "1/s"}],
        }
    )
    assert (changed.clients.count, changed.clients.behind_nat, changed.channels.popularity, changed.storage.enabled) == (500, 0.25, 1.5, False)
    assert changed.storage.work == Law("exponential", (1e6,))
    assert changed.clients.tenant_popularity == 1.2345678901234567e-05
    assert changed.gateways.pauses is not None and changed.gateways.pauses.length == Law("constant", (5e6,))
    assert [fault.at for fault in changed.faults] == [10_000_000_000, 20_000_000_000]
    assert changed.traffic[0].to == "popularity"


def test_none_takes_the_default_again() -> None:
    changed = FULL.with_({"run.duration": None, "run": None, "gateways.pauses": None, "traffic": None, "faults": None})
    assert (changed.run, changed.traffic, changed.gateways.pauses, changed.faults) == (DEFAULT.run, DEFAULT.traffic, None, ())


def test_another_kind_of_source_takes_the_defaults_of_its_kind() -> None:
    source = DEFAULT.with_({"traffic.chat.kind": "channels"}).traffic[0]
    assert (source.to, source.per) == ("popularity", "channel")


def test_changes_obey_the_same_laws_and_are_told_all_at_once() -> None:
    assert problems(DEFAULT, {"gateways.conut": 1, "traffic.chta.rate": 1, "traffic[3].rate": 1, "run.seed.x": 1, "a..b": 1, "": 1}) == [
        "with_ gateways.conut: there is no such key",
        "with_ traffic.chta.rate: traffic has no item of this name",
        "with_ traffic[3].rate: traffic has 1 items, the first being 0",
        "with_ run.seed.x: run.seed is a value and has no keys",
        "with_ a..b: must be a dotted path of keys",
        "with_ : must be a dotted path of keys",
    ]
    assert problems(FULL, {"faults[0].target": 5, "faults[0].target.gateway": 1})[0] == "with_ faults[0].target.gateway: faults[0].target must be a section"
    assert problems(DEFAULT, {"clients.count": 1_000_000}) == [
        "with_ clients.count: the gateways must have room for all clients: 1 gateways x 100_000 connections",
    ]
    assert problems(DEFAULT, {"run.duration": 60, "clients.count": 2.5})[1] == "with_ run.duration: must be a duration with a unit"


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, 10**400, -1, 1.5, True, "\x1b[2J", "1\u202e", b"1", object(), {1: 2}, [1], "x" * 5000, Law("constant", (1.0,))]
)
def test_values_that_no_file_could_hold_are_refused(value: object) -> None:
    assert len(problems(DEFAULT, {"clients.count": value})) == 1


def test_a_value_nested_without_end_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert "levels deep" in problems(DEFAULT, {"clients.count": endless})[0]


def test_models_are_built_from_typed_values_under_the_same_laws() -> None:
    channels = Channels(count=5, given=(GivenChannel(name="a", members=Members(count=3)),))
    assert channels.given[0].members_count == 3
    assert Topology.model_validate(dict(FULL)) == FULL
    for wrong in (-5, 1.5, True, math.nan, 10**30):
        with pytest.raises(ValidationError):
            Channels(count=wrong)


def test_importing_topologies_stays_cheap() -> None:
    heavy = ("numba", "pandas", "matplotlib", "scipy", "simpy", "networkx", "pyarrow")
    code = f"import sys, simfabric.topology; sys.exit(', '.join(name for name in {heavy!r} if name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False).stderr.strip() == ""
