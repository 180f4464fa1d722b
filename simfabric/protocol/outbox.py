"""Outbox: what the user sent and what is not settled yet.

Each send has a key, made before the first try and kept whatever happens, by which the server knows a second try. Unsettled sends go again
in their order over a new connection, and by themselves only there: an ack that is late on a healthy connection is the user's choice. Every
send ends once: sent (by its ack, or by its echo), failed, or expired.
"""

from __future__ import annotations

from simfabric.protocol import frames, rules
from simfabric.protocol.client_state import ClientState
from simfabric.protocol.codec import wire_size
from simfabric.protocol.effects import Broadcast, PublishSettled, PublishUnconfirmed, SendFrame
from simfabric.protocol.frames import Envelope, MessageAck, MessageSend
from simfabric.protocol.inputs import PublishRequested
from simfabric.protocol.machine import READY
from simfabric.protocol.tabs import Settled
from simfabric.protocol.timers import ACK, EXPIRE, NEVER


class Send:
    """One unsettled send. `generation` is the dial over which it went last, 0 = it is to be sent."""

    __slots__ = ("channel", "correlation", "generation", "key", "queued_at", "sent_at", "size", "tab")

    def __init__(self, wish: PublishRequested, now: int, tab: int) -> None:
        self.key = wish.client_message_id
        self.channel = wish.channel
        self.size = wish.size
        self.queued_at = now
        self.generation = 0
        self.sent_at = 0
        self.correlation = -1
        self.tab = tab  # Whose it is.


class Outbox:
    """The unsettled sends in their order, and the requests under way."""

    __slots__ = ("requests", "sends")

    def __init__(self) -> None:
        self.sends: dict[int, Send] = {}  # By key.
        self.requests: dict[int, int] = {}  # Correlation -> key.


def publish(session: ClientState, wish: PublishRequested, tab: int = 0, queued_at: int = -1) -> None:
    """The user sends; or, with the key of a send whose ack is late, tries again. `queued_at`: when that was, -1 = now."""
    outbox = session.outbox
    if outbox is None:
        outbox = session.outbox = Outbox()
    parameters = session.settings.parameters
    send = outbox.sends.get(wish.client_message_id)
    if send is not None:
        if send.generation == session.primary.generation and session.deadline(ACK, send.key) == NEVER:
            send.generation = 0  # The user's choice.
            send_queued(session)
        return
    wish_size = wire_size(MessageSend(0, wish.channel, wish.client_message_id, wish.size))
    if wish_size > parameters.max_frame:
        _tell(session, wish.client_message_id, tab, "failed", "too_large")
    elif len(outbox.sends) >= parameters.outbox_cap:
        _tell(session, wish.client_message_id, tab, "failed", "full")
    else:
        at = session.now if queued_at < 0 else queued_at
        outbox.sends[wish.client_message_id] = Send(wish, at, tab)
        session.arm(EXPIRE, rules.expire_at(at, parameters.outbox_age), wish.client_message_id)
        send_queued(session)


def resend_unacked(session: ClientState) -> None:
    """RESEND_UNACKED: over a new connection all unsettled sends go again, in their order, before anything new."""
    for send in session.outbox.sends.values() if session.outbox is not None else ():
        session.disarm(ACK, send.key)
        if session.outbox is not None:
            session.outbox.requests.pop(send.correlation, None)
        send.generation = 0
    send_queued(session)


def send_queued(session: ClientState) -> None:
    """Write what is to be sent, unless one of them waits as the server asked: nothing overtakes it."""
    outbox, lane = session.outbox, session.primary
    if outbox is None or lane.state not in READY:
        return
    queued = [send for send in outbox.sends.values() if send.generation == 0]
    if any(session.deadline(ACK, send.key) != NEVER for send in queued):
        return
    for send in queued:
        outbox.requests.pop(send.correlation, None)
        send.correlation = session.next_serial()
        send.generation, send.sent_at = lane.generation, session.now
        outbox.requests[send.correlation] = send.key
        schema = session.settings.parameters.schema_current
        session.effects.append(SendFrame(lane.generation, MessageSend(send.correlation, send.channel, send.key, send.size, schema)))
        session.arm(ACK, session.now + session.settings.parameters.ack_timeout, send.key)


def ack_timer(session: ClientState, key: int) -> None:
    """The ack is late, or the time has passed that the server asked for."""
    send = session.outbox.sends.get(key) if session.outbox is not None else None
    if send is None:
        return
    parameters = session.settings.parameters
    if send.generation == 0:
        send_queued(session)
        return
    age = session.now - send.queued_at
    since = session.now - send.sent_at
    verdict = rules.publish_verdict(False, age, parameters.outbox_age, send.generation, session.primary.generation, since, parameters.ack_timeout)
    if verdict == rules.ASK_USER:
        session.effects.append(PublishUnconfirmed(key))


def expire_timer(session: ClientState, key: int) -> None:
    """Too old: a later try of the user first catches up and looks for its own key."""
    settle(session, key, "expired", "age")


def acknowledged(session: ClientState, ack: MessageAck) -> None:
    """In the log. A second ack, or one for an unknown key, changes nothing; and no cursor ever moves by one."""
    if session.outbox is None or ack.client_message_id not in session.outbox.sends:
        session.count("unknown_ack")
    else:
        settle(session, ack.client_message_id, "sent")


def echoed(session: ClientState, event: Envelope) -> None:
    """The author's own event came by the stream: it is in the log, even if no ack ever comes."""
    send = session.outbox.sends.get(event.client_message_id) if session.outbox is not None else None
    if send is not None and send.channel == event.channel:
        settle(session, send.key, "sent")


def refused(session: ClientState, error: frames.ErrorFrame) -> bool:
    """Whether an error answers a send: a final one rolls it back, another keeps the key and comes again."""
    key = session.outbox.requests.pop(error.correlation, None) if session.outbox is not None else None
    if key is None or session.outbox is None:
        return False
    again = error.error == frames.UNAVAILABLE or (error.error == frames.RATE_LIMITED and session.settings.parameters.resend_limited)
    if again:
        send = session.outbox.sends[key]
        send.generation = 0
        session.arm(ACK, session.now + max(rules.LEAST_DELAY, error.retry_after), key)
    else:
        settle(session, key, "failed", frames.ERROR_NAMES[error.error].removeprefix("error.") if error.error < len(frames.ERROR_NAMES) else "error")
    return True


def too_big(session: ClientState) -> None:
    """Close 1009: the oldest send that is under way fails for good, or the next connection would end the same way."""
    outbox = session.outbox
    if outbox is not None:
        oldest = next((send.key for send in outbox.sends.values() if send.generation == session.primary.generation), None)
        if oldest is not None:
            settle(session, oldest, "failed", "too_large")


def fail_all(session: ClientState, reason: str) -> None:
    """The end: nothing is dropped silently."""
    for key in tuple(session.outbox.sends) if session.outbox is not None else ():
        settle(session, key, "failed", reason)


def settle(session: ClientState, key: int, outcome: str, reason: str = "") -> None:
    """What became of a send."""
    outbox = session.outbox
    assert outbox is not None
    send = outbox.sends.pop(key)
    outbox.requests.pop(send.correlation, None)
    waited = send.generation == 0 and session.deadline(ACK, key) != NEVER
    session.disarm(ACK, key)
    session.disarm(EXPIRE, key)
    _tell(session, key, send.tab, outcome, reason)
    if not outbox.sends:
        session.outbox = None
    elif waited:
        send_queued(session)  # What waited behind it goes on.


def _tell(session: ClientState, key: int, tab: int, outcome: str, reason: str) -> None:
    """Tell the tab whose send it is."""
    if session.sharing is None or tab == session.sharing.leader.tab:
        session.effects.append(PublishSettled(key, outcome, reason))
    else:
        session.effects.append(Broadcast(Settled(tab, key, outcome, reason)))
