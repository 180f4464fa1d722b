"""From effects to frames: what a session says must be done goes out as what its seat would send."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simfabric.components.seated import BALANCER, BOOTSTRAP, GATEWAYS, REPLAY, SNAPSHOTS, TOKENS, Seated, SessionError
from simfabric.kernels import clients as kernels
from simfabric.kernels import frames as kinds
from simfabric.kernels.frames import KIND_SHIFT, NEVER
from simfabric.kernels.lifecycle import BANNER
from simfabric.kernels.log import STATE_ASKED, is_asked
from simfabric.kernels.state import PUBLISHED_AT, WIDE
from simfabric.kernels.tickets import gateway_of, life_of
from simfabric.protocol import effects, frames, inputs, machine
from simfabric.topology.limits import are_limited

if TYPE_CHECKING:
    from simfabric.components.sessions import Sessions


def carry_out(sessions: Sessions, one: Seated, made: list[effects.ClientEffect], at: int) -> None:
    """Do what the session says, in order; what is answered at once is told to it at the same instant."""
    answers: list[inputs.ClientInput] = []
    resuming = False
    for effect in made:
        if isinstance(effect, effects.FetchReplay):
            resuming |= _fetch_replay(sessions, one, effect, at)
        else:
            doer = EFFECTS.get(type(effect))
            answer = doer(sessions, one, effect, at) if doer is not None else None
            if answer is not None:
                answers.append(answer)
    if resuming and not one.silent and one.resumed_at != at:
        one.resumed_at = at
        arrives = at + one.delay + sessions.replay_hop
        _send_replay(sessions, one, arrives, (kinds.RESUME << KIND_SHIFT) | one.seat, 0)
    for answer in answers:
        sessions.feed(one, answer, at)


# --------------------------------------------------------------------------------------------------------------------- connecting


def _fetch_bootstrap(sessions: Sessions, one: Seated, effect: effects.FetchBootstrap, at: int) -> inputs.ClientInput | None:
    if not sessions.topology.apis.bootstrap.enabled:
        return inputs.Bootstrapped(effect.ticket, tuple(one.channels))
    sessions.tally.counters[kernels.BOOTS] += 1
    _call(sessions, one, effect.ticket, at, BOOTSTRAP, kinds.BOOT, "bootstrap API", "GET bootstrap")
    return None


def _fetch_token(sessions: Sessions, one: Seated, effect: effects.FetchToken, at: int) -> inputs.ClientInput | None:
    if sessions.topology.apis.token.ttl == 0:
        return inputs.TokenReady(effect.ticket, 0)
    sessions.tally.counters[kernels.TOKENS] += 1
    sessions.columns.crowd.asked_at[one.seat] = at
    _call(sessions, one, effect.ticket, at, TOKENS, kinds.ASK, "token API", "POST token")
    return None


def _call(sessions: Sessions, one: Seated, ticket: int, at: int, to: int, kind: int, api: str, what: str) -> None:
    """Ask one of the two services that come before a dial; the session waits for one answer at a time."""
    one.call = ticket
    arrives = at + one.delay + sessions.hop
    sessions.trace.step(at, arrives, one.name, api, what)
    sessions.send(to, arrives, (kind << KIND_SHIFT) | one.seat, 0, one.seat, 0)


def _dial(sessions: Sessions, one: Seated, effect: effects.OpenTransport, at: int) -> None:
    crowd = sessions.columns.crowd
    one.generation = effect.generation
    sessions.tally.counters[kernels.DIALS] += 1
    arrives = at + one.delay + sessions.hop
    sessions.trace.step(at, arrives, one.name, "edge", "dial")
    sessions.send(BALANCER, arrives, (kinds.DIAL << KIND_SHIFT) | one.seat, 0, one.seat, int(crowd.dials[one.seat]))
    crowd.dials[one.seat] += 1


def _close(sessions: Sessions, one: Seated, effect: effects.CloseTransport, at: int) -> None:
    """The session ends its connection: because the user leaves, or because it has waited in vain for a sign of life or a reply."""
    if one.ticket < 0 or effect.generation != one.generation:
        return
    crowd, ticket = sessions.columns.crowd, one.ticket
    arrives = at + one.delay
    if one.session.state != machine.IDLE:
        sessions.tally.counters[kernels.BREAKS] += 1
        crowd.broke_at[one.seat] = at
    if not one.silent:
        sessions.trace.step(at, arrives, one.name, sessions.gateway(one), f"close ({effect.code})")
        name = (kinds.LEAVE << KIND_SHIFT) | one.seat
        sessions.send(GATEWAYS, arrives, name, gateway_of(ticket), ticket * WIDE + one.seat, ticket)
        sessions.send(BALANCER, arrives + sessions.hop, name, 0, one.seat, ticket)
    crowd.belief[one.seat] = one.ticket = -1
    one.silent, one.ping_at = False, NEVER


# ------------------------------------------------------------------------------------------------------------ frames and fetches


def _send_frame(sessions: Sessions, one: Seated, effect: effects.SendFrame, at: int) -> None:
    frame = effect.frame
    arrives = at + one.delay
    sessions.trace.frame(at, -1 if one.silent else arrives, one.name, sessions.gateway(one), frame)
    if isinstance(frame, frames.Subscribe):
        for channel, _, sequence in frame.channels:
            _agree(sessions, one, channel, sequence)
            one.asked[channel] = frame.correlation
        if one.session.state in machine.READY and not one.silent and are_limited(sessions.topology.limits.subscribe):  # Again, since it was refused.
            sessions.send(GATEWAYS, arrives, (kinds.SUBSCRIBE << KIND_SHIFT) | one.seat, gateway_of(one.ticket), WIDE + one.seat, one.ticket)
    elif isinstance(frame, frames.MessageSend):
        message, log = frame.client_message_id, sessions.columns.log
        if message >= log.base[0] and log.rows[message - log.base[0], PUBLISHED_AT] == at:  # Else it is sent again, which the fabric leaves out.
            sessions.send(GATEWAYS, arrives, (kinds.PUBLISH << KIND_SHIFT) | message, gateway_of(one.ticket), message, life_of(one.ticket))


def _agree(sessions: Sessions, one: Seated, channel: int, sequence: int) -> None:
    """The session's cursor is the one that the gateway's row has handed back."""
    kept = int(sessions.columns.crowd.resume_cursor[one.channels[channel]])
    if kept != sequence:
        raise SessionError(
            f"{one.name} stands at #{sequence} of channel {channel}, its columns at #{kept}; law: a client does the same as a session and as a "
            "column; cure: this is a bug in simfabric, please report the topology and seed"
        )


def _fetch_replay(sessions: Sessions, one: Seated, effect: effects.FetchReplay, at: int) -> bool:
    """Ask the log for one channel; True when it is one of those that are asked for together, after a subscribe."""
    channel = effect.channel
    one.fetches[channel] = (effect.ticket, effect.after)
    arrives = at + one.delay + sessions.replay_hop
    sessions.trace.step(at, -1 if one.silent else arrives, one.name, "replay", f"GET c{channel} after #{effect.after}")
    if is_asked(int(sessions.columns.crowd.resume_upto[one.channels[channel]])):
        return True
    if not one.silent:
        _send_replay(sessions, one, arrives, (kinds.GAP << KIND_SHIFT) | ((channel & 16777215) << 32) | one.seat, channel * WIDE + effect.after)
    return False


def _send_replay(sessions: Sessions, one: Seated, arrives: int, name: int, extra: int) -> None:
    sessions.send(REPLAY, arrives, name, one.seat % sessions.topology.replay.servers, one.ticket * WIDE + one.seat, extra)


def _fetch_snapshot(sessions: Sessions, one: Seated, effect: effects.FetchSnapshot, at: int) -> None:
    channel = effect.channel
    one.fetches[channel] = (effect.ticket, 0)
    arrives = at + one.delay + sessions.hop
    sessions.trace.step(at, -1 if one.silent else arrives, one.name, "snapshot API", f"GET c{channel}")
    if not one.silent:
        counted = int(sessions.columns.crowd.resume_upto[one.channels[channel]] == STATE_ASKED)
        name = (kinds.SNAPSHOT << KIND_SHIFT) | ((channel & 16777215) << 32) | one.seat
        sessions.send(SNAPSHOTS, arrives, name, gateway_of(one.ticket), one.ticket * WIDE + one.seat, channel * WIDE + counted)


def _cancel(sessions: Sessions, one: Seated, effect: effects.CancelFetch, at: int) -> None:
    if effect.kind in (inputs.REPLAY, inputs.SNAPSHOT):
        one.fetches = {channel: fetch for channel, fetch in one.fetches.items() if fetch[0] != effect.ticket}
    elif effect.ticket == one.call:
        one.call = 0


# ------------------------------------------------------------------------------------------------------------------- what is seen


def _deliver(sessions: Sessions, one: Seated, effect: effects.Deliver, at: int) -> inputs.ClientInput | None:
    """The user interface takes what it gets at once."""
    sessions.delivered.extend((event.event, one.session.client, at) for event in effect.events if event.event >= 0)
    sessions.trace.delivery(at, one.name, effect)
    return inputs.ConsumerDrained()


def _reset(sessions: Sessions, one: Seated, effect: effects.ChannelReset, at: int) -> None:
    sessions.trace.note(at, one.name, f"shows c{effect.channel} anew, as of #{effect.sequence}")


def _moved(sessions: Sessions, one: Seated, effect: effects.StateChanged, at: int) -> None:
    crowd = sessions.columns.crowd
    crowd.state[one.seat] = effect.new
    sessions.trace.state(at, one.name, effect)
    if effect.new == machine.OFFLINE and crowd.flags[one.seat] & BANNER == 0:
        crowd.flags[one.seat] |= BANNER
        sessions.tally.counters[kernels.OFFLINES] += 1
    elif effect.new == machine.SIGNED_OUT:
        sessions.tally.counters[kernels.GIVEN_UP] += 1


EFFECTS: dict[type, Callable[[Sessions, Seated, Any, int], inputs.ClientInput | None]] = {
    effects.FetchBootstrap: _fetch_bootstrap,
    effects.FetchToken: _fetch_token,
    effects.OpenTransport: _dial,
    effects.CloseTransport: _close,
    effects.SendFrame: _send_frame,
    effects.FetchSnapshot: _fetch_snapshot,
    effects.CancelFetch: _cancel,
    effects.Deliver: _deliver,
    effects.ChannelReset: _reset,
    effects.StateChanged: _moved,
}
