"""Recovery: how a channel that is behind gets what it lacks, from the replay or the snapshot API.

All or nothing: the pages of a replay are held until the last one has come, and a hole, a truncated log or another epoch lead to a snapshot
that stands in place of the events. One fetch of a channel at a time; one without progress is made again after a backoff of its own.
"""

from __future__ import annotations

from simfabric.protocol import inbox, rules
from simfabric.protocol.channel import CATCHING, EVENTS, NOTHING, ON, STATE, WAITING, Channel
from simfabric.protocol.client_state import FETCH_RETRY, REACHABLE, ClientState
from simfabric.protocol.effects import ChannelReset, FetchReplay, FetchSnapshot
from simfabric.protocol.frames import SequenceSkip, Subscribed
from simfabric.protocol.inputs import FetchFailed, ReplayReady, SnapshotReady
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.stream import accept, behind, cancel_fetch, drain, pass_hole, set_state, want_fetch, watch_gap
from simfabric.protocol.timers import FETCH, SUB_RETRY

EMPTY = -1  # The epoch that is wanted of a snapshot when the log is said to be empty.


def subscribed(session: ClientState, channel: Channel, reply: Subscribed) -> bool:
    """`subscribed` says where the channel stands. False: the answer is of no use, and the subscribe must be made again."""
    verdict = rules.sub_verdict(channel.seen, channel.epoch, reply.top, reply.epoch, reply.floor)
    if verdict == rules.LIVE_ONLY:
        channel.move_to(reply.epoch, reply.top)
        inbox.applied(session, channel)
    elif verdict == rules.AHEAD:
        session.count("ahead")
        channel.tries += 1
        if channel.tries < session.settings.parameters.replay_tries:
            return False
    set_state(session, channel, ON)
    session.disarm(SUB_RETRY, channel.number)
    if not reply.recovered or verdict in (rules.RESET, rules.AHEAD):
        channel.missing = STATE
        channel.want_epoch = EMPTY if reply.epoch == 0 else max(reply.epoch, channel.want_epoch)
    if reply.epoch == channel.epoch or not channel.epoch:
        channel.target = max(channel.target, reply.top)
    if channel.missing != STATE:
        for entry in reply.events:
            if isinstance(entry, SequenceSkip):
                pass_hole(session, channel, entry)
            elif rules.classify(entry.sequence, entry.epoch, channel.seen, channel.epoch) == rules.DELIVER:
                accept(session, channel, entry)
        drain(session, channel)
    if channel.state == ON:
        settle(session, channel)
    return True


def settle(session: ClientState, channel: Channel) -> None:
    """Whether the channel is current; if not, what it lacks."""
    newest = max(channel.held)[0] if channel.held else 0
    if channel.epoch and newest > channel.epoch:
        channel.missing, channel.want_epoch = STATE, max(newest, channel.want_epoch)
    if channel.missing == STATE:
        behind(session, channel, STATE)
    elif channel.seen < channel.target:
        behind(session, channel, EVENTS)
    else:
        cancel_fetch(session, channel)
        channel.missing, channel.tries, channel.target, channel.want_epoch = NOTHING, 0, 0, 0
        set_state(session, channel, ON)
        watch_gap(session, channel)


def fetch_behind(session: ClientState) -> None:
    """FETCH_BEHIND: ask for what the channels lack that are behind."""
    fetches, session.fetches = session.fetches, None
    for channel in (fetches or {}).values():
        if channel.missing == STATE:
            _fetch_snapshot(session, channel)
        else:
            channel.reached = channel.seen
            _fetch_page(session, channel)


def _fetch_page(session: ClientState, channel: Channel) -> None:
    parameters = session.settings.parameters
    channel.ticket, channel.fetching = session.next_serial(), EVENTS
    session.effects.append(FetchReplay(channel.ticket, channel.number, channel.epoch, channel.reached, parameters.page_events))
    session.arm(FETCH, session.now + parameters.fetch_timeout, channel.number)


def _fetch_snapshot(session: ClientState, channel: Channel) -> None:
    """A storm of resyncs costs one snapshot of a channel in `snapshot_min_gap`."""
    parameters = session.settings.parameters
    earliest = channel.snapshot_at + parameters.snapshot_min_gap
    if session.now < earliest:
        session.arm(FETCH, earliest, channel.number)
        return
    channel.snapshot_at = session.now
    channel.ticket, channel.fetching = session.next_serial(), STATE
    session.effects.append(FetchSnapshot(channel.ticket, channel.number))
    session.arm(FETCH, session.now + parameters.fetch_timeout, channel.number)


def fetch_timer(session: ClientState, channel: Channel) -> None:
    """A fetch has not answered in time, or one that waited is due."""
    if channel.ticket:
        cancel_fetch(session, channel)
        channel.tries += 1
        _again_later(session, channel, -1)
    elif channel.state in (CATCHING, WAITING):
        want_fetch(session, channel)


def failed(session: ClientState, channel: Channel, failure: FetchFailed) -> None:
    """A call failed that may be made again."""
    _answered(session, channel)
    channel.tries += 1
    _again_later(session, channel, failure.advised)


def replayed(session: ClientState, channel: Channel, page: ReplayReady) -> None:
    """One page of a replay."""
    _answered(session, channel)
    parameters = session.settings.parameters
    before = channel.reached
    truncated = page.truncated or page.epoch < channel.epoch
    other_epoch = channel.epoch not in (0, page.epoch)
    for entry in () if truncated or other_epoch else page.events:
        first, last = (entry.first, entry.last) if isinstance(entry, SequenceSkip) else (entry.sequence, entry.sequence)
        if first <= channel.reached + 1 <= last and entry.epoch == page.epoch:
            channel.hold(entry, channel.reached + 1)
            channel.reached = last
    top = max(page.top, channel.target)
    progressed = channel.reached > before or channel.reached >= top
    tries = 0 if progressed else channel.tries + 1
    verdict = rules.replay_verdict(page.epoch, channel.epoch, truncated, progressed, tries, parameters.replay_tries)
    if verdict == rules.APPLY and channel.reached - channel.seen > parameters.replay_max:
        verdict = rules.SNAPSHOT
    channel.tries = 0 if verdict == rules.SNAPSHOT else tries  # The snapshot is another call: it counts its own failures.
    if verdict == rules.SNAPSHOT:
        channel.missing, channel.want_epoch = STATE, max(channel.want_epoch, page.epoch)
        want_fetch(session, channel)
    elif verdict == rules.RETRY:
        _again_later(session, channel, -1)
    elif page.more:
        _fetch_page(session, channel)
    else:
        channel.missing = NOTHING
        drain(session, channel)
        if channel.missing == NOTHING:  # An overflow meanwhile has its own plan.
            channel.target = max(channel.target, page.top)
            settle(session, channel)


def snapshot_taken(session: ClientState, channel: Channel, snapshot: SnapshotReady) -> None:
    """The state as of its watermark: it stands in place of every event up to there."""
    _answered(session, channel)
    if not _acceptable(channel, snapshot):
        session.count("old_snapshot")
        _again_later(session, channel, -1)
        return
    if session.inbox is not None:
        inbox.discard(session.inbox, channel)
    progressed = (snapshot.epoch, snapshot.sequence) != (channel.epoch, channel.seen)
    if snapshot.epoch != channel.epoch:
        channel.target = 0
        channel.held = {at: entry for at, entry in (channel.held or {}).items() if at[0] > channel.epoch}
    channel.move_to(snapshot.epoch, snapshot.sequence)
    channel.ids = channel.places = None
    channel.missing, channel.want_epoch = NOTHING, 0
    session.effects.append(ChannelReset(channel.number, snapshot.epoch, snapshot.sequence, "snapshot"))
    inbox.applied(session, channel)
    drain(session, channel)
    if channel.missing != NOTHING:
        return  # An overflow meanwhile has its own plan.
    if channel.seen < channel.target and not progressed:
        channel.missing = EVENTS
        _again_later(session, channel, -1)
    else:
        settle(session, channel)


def _acceptable(channel: Channel, snapshot: SnapshotReady) -> bool:
    """A state never goes back: neither to an older epoch than is known or announced, nor within an epoch."""
    if snapshot.epoch == 0:
        return channel.epoch == 0 or channel.want_epoch == EMPTY
    if snapshot.epoch < max(channel.epoch, channel.want_epoch):
        return False
    return rules.snapshot_ok(snapshot.epoch, snapshot.sequence, 0, channel.epoch, channel.seen)


def _answered(session: ClientState, channel: Channel) -> None:
    channel.ticket, channel.fetching = 0, NOTHING
    session.disarm(FETCH, channel.number)
    session.flags |= REACHABLE


def _again_later(session: ClientState, channel: Channel, advised: int) -> None:
    """The channel waits by itself and does not hold the connection back."""
    parameters = session.settings.parameters
    u = session.draw(FETCH_RETRY)
    delay = own_backoff(parameters, max(0, channel.tries - 1), u)
    set_state(session, channel, WAITING)
    session.arm(FETCH, session.now + max(rules.LEAST_DELAY, delay, advised), channel.number)


def own_backoff(parameters: Parameters, attempt: int, u: float) -> int:
    """The wait after `attempt` failures of something that is retried by itself."""
    jitter = parameters.reconnect_jitter
    return rules.backoff(attempt, parameters.reconnect_first, parameters.reconnect_factor, parameters.reconnect_cap, jitter, u)


def ticket_of(session: ClientState, number: int, ticket: int, kind: int) -> Channel | None:
    """The channel whose open fetch this answers; an answer of a superseded one is ignored."""
    channel = session.channels.get(number) if session.channels is not None else None
    if channel is None or not ticket or channel.ticket != ticket or channel.fetching != kind:
        session.count("stale")
        return None
    return channel
