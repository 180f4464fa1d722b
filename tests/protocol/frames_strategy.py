"""Arbitrary frames, as the codec must carry them."""

from __future__ import annotations

from hypothesis import strategies as st

from simfabric.protocol import frames
from simfabric.protocol.forms import LARGEST, LARGEST_SEQUENCE

ids = st.one_of(st.integers(0, 3), st.integers(0, LARGEST))
sequences = st.one_of(st.integers(0, 3), st.integers(0, LARGEST_SEQUENCE))
times = st.one_of(st.sampled_from([0, 1, 10**9, 1_500_000_000]), st.integers(0, LARGEST))
texts = st.text(st.characters(categories=("L", "N", "P")), max_size=20)
flags = st.booleans()
optional = st.one_of(st.just(-1), ids)

envelopes = st.builds(
    frames.Envelope, ids, sequences, sequences, ids, st.integers(0, 3), times, optional, sequences, optional, st.integers(0, 255), st.integers(1, 3)
)
FRAMES = st.one_of(
    envelopes,
    st.builds(frames.ConnectionAck, ids, ids, st.integers(1, 9), times, times, sequences, optional, optional),
    st.builds(frames.Subscribe, sequences, st.lists(st.tuples(ids, sequences, st.one_of(st.just(-1), sequences)), min_size=1, max_size=4).map(tuple)),
    st.builds(frames.Unsubscribe, sequences, ids),
    st.builds(frames.Subscribed, sequences, ids, sequences, sequences, sequences, flags, st.lists(envelopes, max_size=3).map(tuple)),
    st.builds(frames.Unsubscribed, st.one_of(st.just(-1), sequences), ids, texts, flags),
    st.builds(frames.MessageSend, sequences, ids, ids, sequences, st.integers(1, 3)),
    st.builds(frames.MessageAck, sequences, ids, ids, sequences, sequences, flags),
    st.builds(frames.TypingSent, ids),
    st.builds(frames.Ping, times, st.lists(st.tuples(ids, sequences, sequences), max_size=4, unique_by=lambda top: top[0]).map(tuple)),
    st.builds(frames.Pong, times),
    st.builds(frames.Draining, times, times, times),
    st.builds(frames.SequenceSkip, ids, sequences, sequences, sequences),
    st.builds(frames.ChannelResync, ids, sequences, sequences, texts),
    st.builds(frames.AuthRevoked, texts),
    st.builds(frames.ChannelAccessRevoked, ids),
    st.builds(frames.ErrorFrame, st.one_of(st.just(-1), sequences), st.integers(0, 4), optional, st.one_of(st.just(-1), times)),
)
