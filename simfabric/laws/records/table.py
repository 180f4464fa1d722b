"""The laws that need a history, one line each: number, what it says, when it counts as exercised, the records that it needs, and how it is checked."""

from __future__ import annotations

from simfabric.laws.records import delivery, positions
from simfabric.laws.records.finding import Law

SHOWN = ("message", "client.receive", "client.caught_up")
COVERED = (*SHOWN, "client.snapshot", "client.gap")

LAWS: tuple[Law, ...] = (
    Law("S1", "no silent loss", "an obligation with a final read", COVERED, delivery.no_silent_loss),
    Law("S2", "recovered means recovered", "a resume that had missed something", (*COVERED, "client.resumed"), delivery.recovered),
    Law("S3", "what arrives was published", "a receive", SHOWN, delivery.integrity),
    Law("S4", "a user sees a message once", "a duplicate on the wire", SHOWN, delivery.once),
    Law("S5", "a user sees a channel in order", "two deliveries of one channel", SHOWN, delivery.in_order),
    Law("S6", "a producer's order is kept", "a publication after an acknowledged one", ("message",), positions.producer_order),
    Law("S7", "one position for each message", "two appends", ("message",), positions.position_integrity),
    Law("S12", "only what is subscribed arrives (channels belong to no tenant here)", "two channels with traffic", SHOWN, delivery.only_subscribed),
    Law("S21", "no effect before its cause", "a message", ("message",), positions.time_sanity),
    Law("S24", "the log says what it has let go of", "a request for what is gone", (*COVERED, "client.resumed"), delivery.honest_retention),
    Law("C1*", "every obligation is in one state (of those watched)", "an obligation", (*COVERED, "subscription"), delivery.obligations),
    Law("C11", "waits, services and links make the delay", "a live delivery", (*SHOWN, "gateway.frame"), positions.delays_add_up),
    Law("L4", "no loop at one instant", "a record", (), positions.no_zero_time_loop),
)
