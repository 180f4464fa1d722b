"""The miniature that a plan looks at can be built for every topology."""

import pytest

import simfabric as sf


@pytest.mark.parametrize("hot", [{"hot.partitions": 2}, {"hot.shards": 4}, {"hot.gateways": 1}], ids=str)
def test_a_fabric_whose_hot_channels_have_resources_of_their_own_can_be_planned_and_run(hot):
    topology = sf.loads("version: 1\nclients: {count: 20, subscriptions: 2}\nchannels: {count: 5}\nrun: {duration: 2s, warmup: 0s}\ngateways: {count: 2}\n")
    changed = topology.with_({"hot.members": 10, **hot})
    assert sf.plan(changed).lookahead == sf.plan(topology).lookahead
    assert sf.run(changed, progress=False).lawful
