"""From frames to inputs: what reaches the seat of a session is told to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from simfabric.components.seated import BALANCER, EPOCH, GATEWAYS, SELF, Seated
from simfabric.kernels import clients as kernels
from simfabric.kernels import frames as kinds
from simfabric.kernels.churn import FOUND_DEAD, away_of, fall_silent, farewell, stay_of
from simfabric.kernels.frames import KIND_SHIFT, NEVER, WIDTH
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.lifecycle import AWAY_AFTER, AWAY_SPREAD, BANNER, BOOTED, BUSY_AFTER, BUSY_SPREAD, NOT_READY
from simfabric.kernels.log import message_at
from simfabric.kernels.looking import SEEN
from simfabric.kernels.slow import SLOW
from simfabric.kernels.state import BYTES, CHANNEL, FATE, LANE, LOW, OWED, PREVIOUS, PUBLISHED_AT, PUBLISHER, SEQUENCE, STAGE_CONNECT, TRANSIENT, UNSENT, WIDE
from simfabric.kernels.striking import HUSHED, RESET, hush, rebind
from simfabric.kernels.tickets import SILENT, gateway_of, life_of
from simfabric.protocol import codes, frames, inputs, machine

if TYPE_CHECKING:
    from simfabric.components.sessions import Sessions

NO_REQUEST = -1  # Correlation of an error whose request the session does not keep.

# --------------------------------------------------------------------------------------------------------------------- connecting


def due(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """The user opens the page, for the first time or again. A retry is a timer of the session."""
    if one.session.state == machine.IDLE:
        sessions.columns.crowd.flags[one.seat] = 0
        sessions.feed(one, inputs.ConnectRequested(), frame[0])


def booted(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """Bootstrap answered."""
    call, one.call = one.call, 0
    sessions.columns.crowd.flags[one.seat] |= BOOTED
    sessions.trace.step(frame[0] - one.delay - sessions.hop, frame[0], "bootstrap API", one.name, "200 bootstrap")
    sessions.feed(one, inputs.Bootstrapped(call, tuple(one.channels)), frame[0])


def token(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """The token API answered."""
    call, one.call = one.call, 0
    sessions.trace.step(frame[0] - one.delay - sessions.hop, frame[0], "token API", one.name, "200 token")
    sessions.feed(one, inputs.TokenReady(call, int(sessions.topology.apis.token.ttl)), frame[0])


def refused(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """The end of a call or a dial. One that came to nothing in time is ended by the session itself, at this very instant."""
    at, by, reason = frame[0], frame[2], frame[4]
    sessions.tally.counters[kernels.REFUSALS] += 1
    if by > 0:  # The balancer has counted it as open.
        sessions.send(BALANCER, at + one.delay + sessions.hop, (kinds.LEAVE << KIND_SHIFT) | one.seat, 0, one.seat, reason)
    if reason == kernels.TIMED_OUT and by == 0:
        return
    advised = by == kernels.BUSY or (by == 0 and reason == kernels.ADVISED)
    after, spread = (int(sessions.settings[BUSY_AFTER]), int(sessions.settings[BUSY_SPREAD])) if advised else (-1, 0)
    if one.session.state in (machine.BOOTSTRAP, machine.TOKEN):
        call, one.call = one.call, 0
        api, kind = ("token API", inputs.TOKEN) if one.session.state == machine.TOKEN else ("bootstrap API", inputs.BOOTSTRAP)
        status = 503 if advised else 500
        sessions.trace.step(at - one.delay - sessions.hop, at, api, one.name, f"{status}")
        sessions.feed(one, inputs.FetchFailed(call, kind, status, after), at)
    else:
        code = codes.TRY_AGAIN_LATER if advised else codes.TOKEN_EXPIRED if by == kernels.VOID else codes.ABNORMAL
        source = f"gateway {gateway_of(reason) if by > 0 else reason}" if by > 0 or reason >= 0 else "edge"
        sessions.trace.step(at - one.delay, at, source, one.name, f"refused ({code})")
        sessions.feed(one, inputs.TransportClosed(one.generation, code, after, spread), at)


def opened(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """The gateway took the connection."""
    at, crowd, seat = frame[0], sessions.columns.crowd, one.seat
    crowd.belief[seat] = one.ticket = frame[4]
    crowd.cookie[seat] = gateway_of(frame[4])
    one.silent = False
    sessions.tally.counters[kernels.OPENINGS] += 1
    sessions.tally.stages[STAGE_CONNECT, bin_of(at - int(crowd.broke_at[seat]))] += 1
    sessions.trace.step(at - one.delay, at, sessions.gateway(one), one.name, "opened")
    crowd.ready_at[seat] = NOT_READY
    sessions.feed(one, inputs.TransportOpened(one.generation), at)
    sessions.send(GATEWAYS, at + one.delay, (kinds.SUBSCRIBE << KIND_SHIFT) | seat, gateway_of(frame[4]), seat, frame[4])
    sessions.connected(one, at)
    if one.channels:
        sessions.receive(one, sessions.acknowledgement(one), at)


def told(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """The gateway replies to all subscribes; of each channel a frame of its own follows."""
    _ready(sessions, one, frame[0])
    if not one.channels:
        sessions.receive(one, sessions.acknowledgement(one), frame[0])


def _ready(sessions: Sessions, one: Seated, at: int) -> None:
    crowd = sessions.columns.crowd
    if crowd.ready_at[one.seat] == NOT_READY:
        crowd.ready_at[one.seat] = at
    crowd.flags[one.seat] &= ~BANNER


def too_many(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """The gateway refused all subscribes for their rate, with advice."""
    if one.ticket != frame[4] & LOW:
        return
    _ready(sessions, one, frame[0])
    refused = set(one.asked.values())
    one.asked.clear()
    for correlation in sorted(refused):
        sessions.receive(one, frames.ErrorFrame(correlation, frames.RATE_LIMITED, -1, frame[2]), frame[0])


def top(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """Where one channel stands, and whether a replay can fill what is lacking."""
    channel, sequence = divmod(frame[4], WIDE)
    if channel in one.asked:
        recovered = frame[2] == 0
        sessions.receive(one, frames.Subscribed(one.asked.pop(channel), channel, EPOCH if sequence else 0, sequence, 1, recovered), frame[0])


# --------------------------------------------------------------------------------------------------------------------------- ends


def noticed(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """The gateway closed, or died. What a session finds out by its own timers it does at this very instant."""
    at, crowd = frame[0], sessions.columns.crowd
    if crowd.belief[one.seat] != frame[4] or frame[2] in (kernels.OVERDUE, FOUND_DEAD):
        return
    crowd.belief[one.seat] = one.ticket = -1
    crowd.broke_at[one.seat] = at
    one.ping_at = NEVER
    sessions.tally.counters[kernels.BREAKS] += 1
    if frame[2] == SLOW:
        sessions.send(BALANCER, at + one.delay + sessions.hop, (kinds.LEAVE << KIND_SHIFT) | one.seat, 0, one.seat, frame[4])
    planned = frame[2] == kernels.PLANNED
    code = codes.SERVICE_RESTART if planned else codes.SLOW_CONSUMER if frame[2] == SLOW else codes.ABNORMAL
    after, spread = (int(sessions.settings[AWAY_AFTER]), int(sessions.settings[AWAY_SPREAD])) if planned else (-1, 0)
    sessions.trace.note(at, one.name, f"connection closed ({code})")
    sessions.feed(one, inputs.TransportClosed(one.generation, code, after, spread), at)


def gone(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """The user closes the page, and comes again later."""
    at, crowd = frame[0], sessions.columns.crowd
    if crowd.belief[one.seat] != frame[4]:
        return
    sessions.tally.counters[kernels.LEFT] += 1
    sessions.trace.note(at, one.name, "the user closes the page")
    sessions.feed(one, inputs.LogoutRequested(closing=True), at)
    back = at + away_of(one.seat, sessions.habits, crowd)
    crowd.broke_at[one.seat] = back
    sessions.send(SELF, back, (kinds.DIAL << KIND_SHIFT) | one.seat, 0, one.seat, 0)


def silenced(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """Nothing passes on the connection any more; the session will find out by its heartbeat, and the gateway by its own."""
    at, crowd = frame[0], sessions.columns.crowd
    if crowd.belief[one.seat] != frame[4]:
        return
    sessions.tally.counters[kernels.SILENCES] += 1
    dial, again, written = np.zeros((1, WIDTH), np.int64), np.zeros((1, WIDTH), np.int64), np.zeros(4, np.int64)
    opened = at - stay_of(one.seat, sessions.habits, crowd)
    fall_silent(at, opened, 0, one.seat, frame[4], sessions.hop, sessions.habits, crowd, dial, again, written)
    sessions.send(BALANCER, *dial[0].tolist())
    _deaf(sessions, one, at)


def struck(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """A fault breaks the connection, if there is one; the session hears of it at once, or by its own heartbeat."""
    at, why, crowd, ticket = frame[0], frame[2], sessions.columns.crowd, one.ticket
    if not 0 <= crowd.belief[one.seat] < SILENT:
        return
    up, dial, again, written = np.zeros((1, WIDTH), np.int64), np.zeros((1, WIDTH), np.int64), np.zeros((1, WIDTH), np.int64), np.zeros(4, np.int64)
    if why == HUSHED:
        sessions.tally.counters[kernels.SILENCES] += 1
        hush(at, one.seat, ticket, frame[4], sessions.hop, sessions.habits, crowd, up, dial, again, written)
    elif why == RESET:
        farewell(at, one.seat, ticket, sessions.hop, crowd, up, dial, written)
    else:
        rebind(at, one.seat, ticket, sessions.hop, sessions.habits, crowd, up, dial, written)
    sessions.send(GATEWAYS, *up[0].tolist())
    sessions.send(BALANCER, *dial[0].tolist())
    if why == HUSHED:
        _deaf(sessions, one, at)
    else:
        noticed(sessions, one, [at, frame[1], why, frame[3], ticket])


def _deaf(sessions: Sessions, one: Seated, at: int) -> None:
    one.silent, one.ping_at = True, NEVER
    assert sessions.columns.crowd.belief[one.seat] == one.ticket + SILENT
    sessions.trace.note(at, one.name, "nothing passes any more")


# ------------------------------------------------------------------------------------------------------------------------- events


def event(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """A live message."""
    found = envelope(sessions, one, frame[4])
    sessions.receive(one, found, frame[0], found.size)


def seen(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """Somebody's presence. It has a name below zero: it is no message."""
    at, due, (high, subject) = frame[0], frame[2], divmod(frame[4], WIDE)
    channel, status = divmod(high, 2)
    size = sessions.topology.presence.size
    name = -1 - ((due << 32 | subject) << 1 | status)
    sessions.receive(one, frames.Envelope(channel, 0, 0, name, frames.PRESENCE, ts=due, user=subject, size=size, status=status), at, size)


def filled(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """The log's answer for one channel: the events from the cursor on, or, truncated, none of them."""
    (channel, upto), at = divmod(frame[4], WIDE), frame[0]
    if channel not in one.fetches:
        return
    ticket, after = one.fetches.pop(channel)
    log = sessions.columns.log
    events: list[frames.Envelope] = []
    message = message_at(channel, upto, log)
    while message >= log.base[0] and log.rows[message - log.base[0], SEQUENCE] > after:
        events.append(envelope(sessions, one, message))
        message = int(log.rows[message - log.base[0], PREVIOUS])
    truncated = frame[2] == 1
    sessions.trace.step(at - one.delay, at, "replay", one.name, f"c{channel} " + ("truncated" if truncated else f"#{after + 1}..{upto}"))
    sessions.feed(one, inputs.ReplayReady(ticket, channel, EPOCH, () if truncated else tuple(reversed(events)), upto, False, truncated), at)


def state(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """The state of a channel as of its watermark."""
    (channel, watermark), at = divmod(frame[4], WIDE), frame[0]
    if channel in one.fetches:
        ticket, _ = one.fetches.pop(channel)
        sessions.trace.step(at - one.delay - sessions.hop, at, "snapshot API", one.name, f"c{channel} as of #{watermark}")
        sessions.feed(one, inputs.SnapshotReady(ticket, channel, EPOCH if watermark else 0, watermark), at)


def no_state(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """The snapshot API refused, or did not answer in time."""
    channel, at = frame[4] // WIDE, frame[0]
    if channel in one.fetches:
        ticket, _ = one.fetches.pop(channel)
        status, advised = (503, sessions.topology.balancer.retry_after or 0) if frame[2] == 1 else (500, -1)
        sessions.trace.step(at - one.delay - sessions.hop, at, "snapshot API", one.name, f"{status}")
        sessions.feed(one, inputs.FetchFailed(ticket, inputs.SNAPSHOT, status, advised, channel), at)


def publication(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """The user presses enter; nobody does so while the page says that it is not connected."""
    message, counters, columns = frame[3], sessions.tally.counters, sessions.columns
    row = columns.log.rows[message - columns.log.base[0]]
    owed = int(row[OWED])
    if one.ticket < 0 or one.silent or one.session.state not in machine.READY:
        counters[kernels.UNHEARD] += one.silent
        row[FATE] = UNSENT
        counters[kernels.UNSENT_COUNT] += 1
        counters[kernels.UNSENT_OBLIGATIONS] += owed
        return
    counters[kernels.PUBLISHED] += 1
    counters[kernels.PUBLISHED_OBLIGATIONS] += owed
    if row[LANE] == TRANSIENT:  # The page sends it as it is: nobody waits for an answer, and nothing is sent again.
        at = frame[0] + one.delay
        sessions.send(GATEWAYS, at, (kinds.PUBLISH << KIND_SHIFT) | message, gateway_of(one.ticket), message, life_of(one.ticket))
        return
    sessions.feed(one, inputs.PublishRequested(int(row[CHANNEL]), message, int(row[BYTES])), frame[0])


def too_much(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """The gateway refused a message for its rate, with advice. What nobody waits for (a transient, a settled send) it answers too: a sign of life."""
    message, at = frame[4], frame[0]
    if one.ticket != frame[3] // WIDE:
        return
    send = one.session.outbox.sends.get(message) if one.session.outbox is not None else None
    answers = send.correlation if send is not None and send.generation == one.generation else NO_REQUEST
    channel = int(sessions.columns.log.rows[message - sessions.columns.log.base[0], CHANNEL])
    sessions.receive(one, frames.ErrorFrame(answers, frames.RATE_LIMITED, channel, frame[2]), at)


def woken(sessions: Sessions, one: Seated, frame: list[int]) -> None:
    """Time has passed; that was all."""


def envelope(sessions: Sessions, one: Seated, message: int) -> frames.Envelope:
    """A message as an event of its channel; the author knows it by its key."""
    row = sessions.columns.log.rows[message - sessions.columns.log.base[0]].tolist()
    own = message if row[PUBLISHER] == one.seat else -1
    if row[LANE] == TRANSIENT:
        return frames.Envelope(row[CHANNEL], 0, 0, message, frames.TYPING, ts=row[PUBLISHED_AT], user=row[PUBLISHER], size=row[BYTES])
    return frames.Envelope(row[CHANNEL], row[SEQUENCE], EPOCH, message, ts=row[PUBLISHED_AT], size=row[BYTES], client_message_id=own)


ARRIVALS: dict[int, Callable[[Sessions, Seated, list[int]], None]] = {
    kinds.NOTICE: noticed,
    kinds.DIAL: due,
    kinds.BOOTED: booted,
    kinds.TOKEN: token,
    kinds.REFUSED: refused,
    kinds.OPENED: opened,
    kinds.SUBSCRIBED: told,
    kinds.TOP: top,
    kinds.EVENT: event,
    SEEN: seen,
    kinds.FILLED: filled,
    kinds.STATE: state,
    kinds.NO_STATE: no_state,
    kinds.PUBLICATION: publication,
    kinds.GO: gone,
    kinds.SILENCE: silenced,
    kinds.STRUCK: struck,
    kinds.TOO_MUCH: too_much,
    kinds.TOO_MANY: too_many,
    kinds.WAKE: woken,
}
