"""Client session: the client's half of the protocol, without input or output.

`handle` says what happened, `handle_timers` that time has passed, `next_deadline` when that matters next; both answer with what must be
done, in order. Time comes with each call, chance is addressed by (seed, replication, client), so one log of inputs gives one log of
effects, whoever drives. What happened is handed to the part that it concerns; what the channels have come to is told to the table at the
end of each call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simfabric.errors import LocalProtocolError
from simfabric.protocol import channels, codes, connection, inbox, inputs, machine, outbox, receiving, recovery, rules, sharing, timers, transports
from simfabric.protocol.carrying_out import shown, take
from simfabric.protocol.channel import Channel
from simfabric.protocol.client_state import CLAIM, FOR_DRAIN, FOR_WEBSOCKET, HIDDEN, NOTHING, ClientState, shared_settings
from simfabric.protocol.connection import end, logout, settle
from simfabric.protocol.effects import ClientEffect
from simfabric.protocol.inputs import ClientInput
from simfabric.protocol.leader import Leader
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.profiles import DEFAULT, PROFILES, Profile
from simfabric.protocol.standby import start_standby
from simfabric.protocol.stream import gap_open
from simfabric.protocol.tabs import AuthEnded
from simfabric.protocol.timers import NEVER

DEFAULT_PARAMETERS = Parameters()


class ClientSession(ClientState):
    """One client. `client` is its number in the run, by which its draws are addressed; `profile` is its reconnect policy.

    With `shares` it is the tab with the number `tab`, and one tab at a time holds the connection for all of them.
    """

    __slots__ = ()

    def __init__(
        self,
        client: int,
        seed: int = 0,
        replication: int = 0,
        parameters: Parameters = DEFAULT_PARAMETERS,
        profile: Profile = PROFILES[DEFAULT],
        tab: int = 0,
        shares: bool = False,
    ) -> None:
        super().__init__(client, shared_settings(seed, replication, parameters, profile))
        if shares:
            self.sharing = sharing.Sharing(Leader(tab, parameters.beat, parameters.lease, self.settings.keys[CLAIM]))

    # --------------------------------------------------------------------------------------------------------------- the three calls

    def handle(self, happened: ClientInput, now: int) -> list[ClientEffect]:
        """What is to be done after this."""
        effects = self.effects = []
        self.now = now
        handler = INPUTS.get(type(happened))
        if handler is None:
            raise LocalProtocolError(f"the law is that a client session is given client inputs; here {type(happened).__name__}")
        handler(self, happened)
        settle(self)
        if self.sharing is not None:
            sharing.follow_up(self, self.sharing)
        self.effects, self.now = NOTHING, 0  # Nothing of a call is kept by an idle client.
        return effects

    def next_deadline(self) -> int | None:
        """When `handle_timers` is to be called."""
        at = min(self.next_timer(), self.primary.heartbeat_at)
        if self.standby is not None:
            at = min(at, self.standby.heartbeat_at)
        return at if at < NEVER else None

    def handle_timers(self, now: int) -> list[ClientEffect]:
        """What is to be done at this time: what is due, by (deadline, kind, id)."""
        effects = self.effects = []
        self.now = now
        due = self.due_timers(now)
        due += [(lane.heartbeat_at, timers.HEARTBEAT, lane.number) for lane in self.lanes() if lane.heartbeat_at <= now]
        for timer in sorted(due):
            deadline, kind, number = timer
            if kind == timers.HEARTBEAT:
                lane = self.lane_of(number)
                if lane is not None and lane.heartbeat_at == deadline:
                    connection.heartbeat_timer(self, lane)
            elif self.take_timer(timer):
                TIMERS[kind](self, number)
        settle(self)
        if self.sharing is not None:
            sharing.follow_up(self, self.sharing)
        self.effects, self.now = NOTHING, 0  # Nothing of a call is kept by an idle client.
        return effects

    # --------------------------------------------------------------------------------------------------------------- to be looked at

    @property
    def state(self) -> int:
        """Of the connection, see `machine`."""
        return self.primary.state

    @property
    def shown(self) -> int:
        """What the user interface shows, see `rules.SHOW_*`."""
        return shown(self)

    @property
    def generation(self) -> int:
        """Of the connection's dial."""
        return self.primary.generation

    @property
    def cursors(self) -> dict[int, tuple[int, int]]:
        """Where the user stands: channel -> (epoch, sequence) of the last event applied."""
        return {number: (channel.applied_epoch, channel.applied) for number, channel in (self.channels or {}).items() if channel.applied >= 0}

    @property
    def subscriptions(self) -> dict[int, int]:
        """Channel -> its state, see `channel`."""
        return {number: channel.state for number, channel in (self.channels or {}).items()}

    @property
    def unsettled(self) -> tuple[int, ...]:
        """Keys of the sends that are not settled, in their order."""
        return tuple(self.outbox.sends) if self.outbox is not None else ()


# ------------------------------------------------------------------------------------------------------------------- user and machine


def _connect(session: ClientSession, happened: inputs.ConnectRequested) -> None:
    if session.sharing is not None:
        sharing.start(session, session.sharing)
    else:
        take(session, session.primary, machine.START)


def _want(session: ClientSession, wish: inputs.SubscribeWanted) -> None:
    channels.want(session, wish)
    if session.sharing is not None:
        sharing.needs_changed(session, session.sharing)


def _look(session: ClientSession, seen: inputs.VisibleChanged) -> None:
    """A page that comes back to the front may have slept; one that leaves saves what it has."""
    came = session.flag(HIDDEN) and not seen.hidden
    session.flags = session.flags | HIDDEN if seen.hidden else session.flags & ~HIDDEN
    channels.look_at(session, seen)
    if session.sharing is not None:
        sharing.needs_changed(session, session.sharing, visible=not seen.hidden)
    if seen.hidden:
        inbox.persist(session)
    if came:
        take(session, session.primary, machine.POKE)


def _publish(session: ClientSession, wish: inputs.PublishRequested) -> None:
    if session.sharing is not None:
        sharing.publish(session, session.sharing, wish)
    else:
        outbox.publish(session, wish)


def _network(session: ClientSession, changed: inputs.NetworkChanged) -> None:
    """ "Up" is worth a dial; "down" is not to be trusted, and worth a probe."""
    if changed.up or session.primary.state in machine.OPEN:
        take(session, session.primary, machine.POKE)


def _resumed(session: ClientSession, happened: inputs.Resumed) -> None:
    take(session, session.primary, machine.POKE)


def _peer(session: ClientSession, said: inputs.PeerMessage) -> None:
    if session.sharing is not None:
        sharing.heard(session, session.sharing, said.message)
    elif type(said.message) is AuthEnded:
        end(session, codes.REASON_AUTH, tells=False)
    else:
        session.count("unshared")


def _cursor(session: ClientSession, loaded: inputs.CursorLoaded) -> None:
    channels.load_cursor(session, loaded)


def _drained(session: ClientSession, happened: inputs.ConsumerDrained) -> None:
    inbox.drained(session)


def _logout(session: ClientSession, happened: inputs.LogoutRequested) -> None:
    logout(session, clear=not happened.closing)
    if session.sharing is not None:
        sharing.stop(session, session.sharing)


def _snapshot(session: ClientSession, snapshot: inputs.SnapshotReady) -> None:
    if session.sharing is None or not sharing.state_taken(session, session.sharing, snapshot):
        connection.snapshot_taken(session, snapshot)


INPUTS: dict[type[ClientInput], Callable[[ClientSession, Any], None]] = {
    inputs.FrameReceived: receiving.received,
    inputs.ConsumerDrained: _drained,
    inputs.ConnectRequested: _connect,
    inputs.Bootstrapped: connection.bootstrapped,
    inputs.TokenReady: connection.token_ready,
    inputs.TransportOpened: connection.opened,
    inputs.TransportClosed: connection.closed,
    inputs.ReplayReady: connection.replayed,
    inputs.SnapshotReady: _snapshot,
    inputs.FetchFailed: connection.fetch_failed,
    inputs.SubscribeWanted: _want,
    inputs.VisibleChanged: _look,
    inputs.PublishRequested: _publish,
    inputs.NetworkChanged: _network,
    inputs.Resumed: _resumed,
    inputs.PeerMessage: _peer,
    inputs.CursorLoaded: _cursor,
    inputs.LogoutRequested: _logout,
}


# ----------------------------------------------------------------------------------------------------------------------------- timers


def _retry_timer(session: ClientSession, number: int) -> None:
    take(session, session.primary, machine.RETRY)


def _stable_timer(session: ClientSession, number: int) -> None:
    stable_after = session.settings.parameters.stable_after
    session.attempt = rules.attempt_after(session.attempt, stable_after, stable_after)
    session.last_dial = -NEVER


def _patience_timer(session: ClientSession, number: int) -> None:
    take(session, session.primary, machine.PATIENCE)


def _standby_timer(session: ClientSession, number: int) -> None:
    start_standby(session, FOR_DRAIN, transports.next_kind(session))


def _ws_retry_timer(session: ClientSession, number: int) -> None:
    if transports.retry_due(session):
        start_standby(session, FOR_WEBSOCKET, inputs.WEBSOCKET)


def _persist_timer(session: ClientSession, number: int) -> None:
    inbox.persist(session)


def _flush_timer(session: ClientSession, number: int) -> None:
    inbox.flush(session)


def _lease_timer(session: ClientSession, number: int) -> None:
    if session.sharing is not None:
        sharing.timer(session, session.sharing)


def _expire_timer(session: ClientSession, key: int) -> None:
    if session.sharing is not None:
        sharing.expired(session, session.sharing, key)
    else:
        outbox.expire_timer(session, key)


def _of_channel(timer: Callable[[ClientState, Channel], None]) -> Callable[[ClientSession, int], None]:
    def fire(session: ClientSession, number: int) -> None:
        channel = (session.channels or {}).get(number)
        if channel is not None:
            timer(session, channel)

    return fire


TIMERS: dict[int, Callable[[ClientSession, int], None]] = {
    timers.CONNECT: connection.connect_timer,
    timers.PROBE: connection.probe_timer,
    timers.RETRY: _retry_timer,
    timers.STABLE: _stable_timer,
    timers.PATIENCE: _patience_timer,
    timers.STANDBY: _standby_timer,
    timers.WS_RETRY: _ws_retry_timer,
    timers.LEASE: _lease_timer,
    timers.PERSIST: _persist_timer,
    timers.FLUSH: _flush_timer,
    timers.GAP: _of_channel(gap_open),
    timers.SUB_RETRY: _of_channel(channels.subscribe_timer),
    timers.FETCH: _of_channel(recovery.fetch_timer),
    timers.LINGER: _of_channel(channels.linger_timer),
    timers.ACK: outbox.ack_timer,
    timers.EXPIRE: _expire_timer,
}
