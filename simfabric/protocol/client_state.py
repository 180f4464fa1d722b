"""Client state: what a client's session remembers, and how it says what must be done.

The functions of `connection`, `channels`, `recovery`, `inbox`, `outbox` and `sharing` work on it. What an idle client does not need is made
when it is needed: ten thousand idle sessions are to fit into five megabytes.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from simfabric.chance import decision_key, uniform
from simfabric.protocol.effects import ClientEffect, Count
from simfabric.protocol.frames import Subscribed
from simfabric.protocol.inputs import WEBSOCKET
from simfabric.protocol.machine import IDLE
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.profiles import DEFAULT, PROFILES, Profile
from simfabric.protocol.timers import NEVER, Timers

if TYPE_CHECKING:
    from simfabric.protocol.channel import Channel
    from simfabric.protocol.inbox import Inbox
    from simfabric.protocol.ladder import Ladder
    from simfabric.protocol.outbox import Outbox
    from simfabric.protocol.sharing import Sharing

# What is drawn, each counted over the client's whole life.
BACKOFF, OFFLINE, AWAY, DRAIN, WAKE, SUB_RETRY, FETCH_RETRY, HEARTBEAT_PHASE, WS_RETRY, CLAIM = range(10)
DECISIONS = ("backoff", "offline", "away", "drain", "wake", "sub_retry", "fetch_retry", "heartbeat_phase", "ws_retry", "claim")

# Flags of a session.
EVER_LIVE, BANNER, REFETCHED, FAULTED, REACHABLE, WEBSOCKET_WORKED, HIDDEN, EVER_OPEN = (1 << bit for bit in range(8))

NO_CHANNELS: frozenset[int] = frozenset()  # One object for all that have none.
NOTHING: list[ClientEffect] = []  # The effects between two calls.

# Why a standby lane is there.
FOR_DRAIN, FOR_WEBSOCKET = range(2)


class Settings:
    """What all clients of a run share: parameters, reconnect profile, keys of decisions."""

    __slots__ = ("keys", "own_policy", "parameters", "profile")

    def __init__(self, seed: int, replication: int, parameters: Parameters, profile: Profile) -> None:
        self.parameters = parameters
        self.profile = profile
        self.own_policy = profile == PROFILES[DEFAULT]  # The protocol's own, by the numbers of the parameters.
        self.keys = tuple(decision_key(seed, replication, f"clients/{name}") for name in DECISIONS)


@functools.lru_cache(maxsize=64)
def shared_settings(seed: int, replication: int, parameters: Parameters, profile: Profile) -> Settings:
    """One object for all clients with the same settings."""
    return Settings(seed, replication, parameters, profile)


class Lane:
    """One way to the service: from bootstrap to an open transport. A session has one, and for a change of transport a second, the standby."""

    __slots__ = (
        "acked", "asked", "dialled", "gateway", "generation", "heartbeat_at", "kind", "number", "pinged", "spread", "state", "ticket",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number  # Serial number: the id of its timers.
        self.state = IDLE
        self.generation = 0  # Of the next dial, or of this one.
        self.dialled = 0  # Generation of the transport that is there, or is being opened; 0 = none.
        self.kind = WEBSOCKET
        self.ticket = 0  # Of the bootstrap or token call under way, 0 = none.
        self.heartbeat_at = NEVER  # HEARTBEAT: not among the timers, since every frame moves it.
        self.pinged = False  # Of a client that drives the heartbeat: a ping waits for its answer.
        self.acked = False  # `connection.ack` has come.
        self.asked: dict[int, int] | None = None  # Channel -> correlation of a subscribe without a reply.
        self.spread = -1  # Of the drain that was announced on this lane.
        self.gateway = -1  # Where it was connected last, as far as it was told: the next dial avoids it.


class Standby(Lane):
    """The second lane, until it is promoted."""

    __slots__ = ("purpose", "replies")

    def __init__(self, number: int, purpose: int) -> None:
        super().__init__(number)
        self.purpose = purpose  # FOR_DRAIN or FOR_WEBSOCKET.
        self.replies: dict[int, Subscribed] = {}  # What `subscribed` said of each channel, kept until it counts.


class ClientState(Timers):
    """Everything that a session knows."""

    __slots__ = (
        "allowed", "attempt", "behind", "channels", "client", "down_since", "draws", "effects", "fetches", "flags", "generations", "inbox", "ladder",
        "last_dial", "now", "outbox", "primary", "reason", "serial", "settings", "sharing", "standby", "standby_tries", "token_until",
    )  # fmt: skip

    def __init__(self, client: int, settings: Settings) -> None:
        super().__init__()
        self.client = client
        self.settings = settings
        self.primary = Lane(0)
        self.standby: Standby | None = None
        self.attempt = 0  # Dials that failed in a row.
        self.token_until = 0  # When the token in hand ends; while one is asked for, when that was.
        self.last_dial = -NEVER
        self.down_since = 0  # Since when it is without a connection; only some clients' waits depend on it.
        self.allowed: frozenset[int] | None = None  # From the bootstrap; None = not in hand.
        self.channels: dict[int, Channel] | None = None
        self.behind = 0  # Channels that are catching up.
        self.fetches: dict[int, Channel] | None = None  # Channels that want a fetch.
        self.inbox: Inbox | None = None
        self.outbox: Outbox | None = None
        self.ladder: Ladder | None = None
        self.sharing: Sharing | None = None
        self.draws: list[int] | None = None  # By decision.
        self.generations = 0  # Numbers of dials given so far.
        self.serial = 0  # Tickets, correlations and lanes numbered so far.
        self.standby_tries = 0  # Standby lanes that failed in a row.
        self.reason = -1  # Why it is signed out, see `codes`.
        self.flags = 0
        self.now = 0
        self.effects: list[ClientEffect] = NOTHING

    def next_serial(self) -> int:
        """A number that was not given before."""
        self.serial += 1
        return self.serial

    def count(self, name: str, amount: int = 1) -> None:
        """Something is worth a number."""
        self.effects.append(Count(name, amount))

    def draw(self, decision: int) -> float:
        """The client's next number for this decision."""
        if self.draws is None:
            self.draws = [0] * len(DECISIONS)
        n = self.draws[decision]
        self.draws[decision] = n + 1
        return float(uniform(self.settings.keys[decision], self.client, n))

    def flag(self, flag: int) -> bool:
        """Whether it is up."""
        return self.flags & flag != 0

    def lanes(self) -> tuple[Lane, ...]:
        """The connection, and the standby if there is one."""
        return (self.primary,) if self.standby is None else (self.primary, self.standby)

    def lane_of(self, number: int) -> Lane | None:
        """The lane with this number."""
        return next((lane for lane in self.lanes() if lane.number == number), None)

    def lane_by_dial(self, generation: int) -> Lane | None:
        """The lane whose transport has this generation."""
        if generation and generation == self.primary.dialled:
            return self.primary
        if self.standby is not None and generation and generation == self.standby.dialled:
            return self.standby
        return None

    def lane_by_ticket(self, ticket: int, state: int) -> Lane | None:
        """The lane that waits for the answer to this call."""
        return next((lane for lane in self.lanes() if ticket and lane.ticket == ticket and lane.state == state), None)
