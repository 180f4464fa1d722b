"""Receiving: a frame of the gateway is for the part that it concerns; whatever came is a sign of life."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simfabric.protocol import channels, codes, frames, inputs, machine, outbox, rules, timers, transports
from simfabric.protocol.carrying_out import Cause
from simfabric.protocol.client_state import ClientState, Lane
from simfabric.protocol.connection import end, lost
from simfabric.protocol.effects import Fault, SendFrame
from simfabric.protocol.frames import Envelope, Frame
from simfabric.protocol.standby import draining
from simfabric.protocol.stream import take_event, take_skip, take_top


def received(session: ClientState, happened: inputs.FrameReceived) -> None:
    """Whatever came is a sign of life; then the frame is for the part that it concerns."""
    lane = session.primary if happened.generation == session.primary.dialled else session.lane_by_dial(happened.generation)
    if lane is None or lane.state not in machine.OPEN:
        session.count("stale")
        return
    parameters = session.settings.parameters
    if parameters.heartbeat_driver == "client":
        if lane.pinged:  # Any byte will do for an answer.
            lane.heartbeat_at, lane.pinged = session.now + parameters.heartbeat_interval, False
    else:
        lane.heartbeat_at = rules.hb_deadline(session.now, parameters.heartbeat_interval, parameters.heartbeat_timeout)
    session.disarm(timers.PROBE, lane.number)
    if happened.size > parameters.max_frame:
        session.effects.append(Fault("frame <= max_frame", value=happened.size))
        transports.connection_lost(session)
        lost(session, lane, Cause())
        return
    handler = FRAMES.get(type(happened.frame))
    if handler is None:
        session.count("unexpected")  # A frame that only clients send.
    else:
        handler(session, lane, happened.frame)


def _envelope(session: ClientState, lane: Lane, event: Envelope) -> None:
    channel = session.channels.get(event.channel) if session.channels is not None else None
    if channel is None:
        session.count("unwanted")
    else:
        take_event(session, channel, event)


def _acked(session: ClientState, lane: Lane, ack: frames.ConnectionAck) -> None:
    lane.acked = True
    lane.gateway = ack.gateway
    verdict = rules.accepts(ack.schema, session.settings.parameters.schema_current, session.settings.parameters.schema_back)
    if verdict != rules.OK:
        session.count("lenient")  # Known fields only; missing ones have their defaults.


def _subscribed(session: ClientState, lane: Lane, reply: frames.Subscribed) -> None:
    channels.subscribed(session, lane, reply)


def _unsubscribed(session: ClientState, lane: Lane, ended: frames.Unsubscribed) -> None:
    channels.unsubscribed(session, lane, ended)


def _message_ack(session: ClientState, lane: Lane, ack: frames.MessageAck) -> None:
    outbox.acknowledged(session, ack)


def _ping(session: ClientState, lane: Lane, ping: frames.Ping) -> None:
    """Answered at once; its tops show a last event that was lost. A token that has ended meanwhile is forgotten."""
    if session.token_until < session.now:
        session.token_until = 0
    session.effects.append(SendFrame(lane.generation, frames.Pong(ping.t)))
    for number, epoch, top in ping.tops:
        channel = (session.channels or {}).get(number)
        if channel is not None:
            take_top(session, channel, epoch, top)


def _pong(session: ClientState, lane: Lane, pong: frames.Pong) -> None:
    """The sign of life was all."""


def _skip(session: ClientState, lane: Lane, skip: frames.SequenceSkip) -> None:
    channel = (session.channels or {}).get(skip.channel)
    if channel is not None:
        take_skip(session, channel, skip)


def _resync(session: ClientState, lane: Lane, resync: frames.ChannelResync) -> None:
    channel = (session.channels or {}).get(resync.channel)
    if channel is not None:
        take_top(session, channel, resync.epoch, resync.top)


def _auth_revoked(session: ClientState, lane: Lane, revoked: frames.AuthRevoked) -> None:
    end(session, codes.REASON_AUTH)


def _access_revoked(session: ClientState, lane: Lane, revoked: frames.ChannelAccessRevoked) -> None:
    channels.revoke(session, revoked.channel)


def _error(session: ClientState, lane: Lane, error: frames.ErrorFrame) -> None:
    if not channels.refused(session, lane, error) and not outbox.refused(session, error):
        session.count("unknown_error")


def _unknown(session: ClientState, lane: Lane, unknown: frames.Unknown) -> None:
    """A newer server may say more than is known here; what is no frame at all is its fault."""
    session.count("unknown")
    if unknown.malformed:
        session.effects.append(Fault("a message is a frame"))
        transports.connection_lost(session)
        lost(session, lane, Cause(codes.FAULT))


FRAMES: dict[type[Frame], Callable[[ClientState, Lane, Any], None]] = {
    Envelope: _envelope,
    frames.ConnectionAck: _acked,
    frames.Subscribed: _subscribed,
    frames.Unsubscribed: _unsubscribed,
    frames.MessageAck: _message_ack,
    frames.Ping: _ping,
    frames.Pong: _pong,
    frames.Draining: draining,
    frames.SequenceSkip: _skip,
    frames.ChannelResync: _resync,
    frames.AuthRevoked: _auth_revoked,
    frames.ChannelAccessRevoked: _access_revoked,
    frames.ErrorFrame: _error,
    frames.Unknown: _unknown,
}
