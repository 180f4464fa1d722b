"""Direct fan-out has no bus."""

import pytest

from simfabric.errors import TopologyError
from simfabric.topology import loads


def test_direct_fan_out_without_storage_is_refused():
    with pytest.raises(TopologyError, match="storage must be the log"):
        loads("version: 1\nfanout: {pattern: direct}\nstorage: {enabled: false}\n")


def test_direct_fan_out_with_back_end_producers_is_refused():
    with pytest.raises(TopologyError, match="no bus"):
        loads("version: 1\nfanout: {pattern: direct}\ntraffic: [{name: jobs, kind: producers, rate: 1/s}]\n")
