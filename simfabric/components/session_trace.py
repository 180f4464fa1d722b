"""The trace of the sessions: what each sent, received, decided and showed, as steps of a message sequence chart."""

from __future__ import annotations

from typing import NamedTuple

from simfabric.protocol import effects, frames, machine

MOST_STEPS = 200_000  # A trace is for reading; a longer one is cut, and says so.


class Step(NamedTuple):
    """One line of a chart; see `analysis.sequence_chart.Step`."""

    at: int  # [ns]
    arrives: int  # [ns]; = at for a note.
    source: str
    target: str  # = source for a note.
    what: str


class Trace:
    """Steps, in the order in which they were noted; nothing is noted before `keep` is called."""

    def __init__(self) -> None:
        self.kept = False
        self.cut = 0  # Steps that found no room.
        self._steps: list[Step] = []

    def steps(self) -> tuple[Step, ...]:
        """All steps by the time at which they began."""
        return tuple(sorted(self._steps, key=lambda step: step.at))

    def note(self, at: int, who: str, what: str) -> None:
        """Something happened at one participant."""
        self.step(at, at, who, who, what)

    def step(self, at: int, arrives: int, source: str, target: str, what: str) -> None:
        """A call, an answer, or a frame that is told in words already."""
        if not self.kept:
            return
        if len(self._steps) < MOST_STEPS:
            self._steps.append(Step(at, arrives, source, target, what))
        else:
            self.cut += 1

    def frame(self, at: int, arrives: int, source: str, target: str, frame: frames.Frame) -> None:
        """A frame of the protocol."""
        if self.kept:
            self.step(at, arrives, source, target, words(frame))

    def state(self, at: int, who: str, moved: effects.StateChanged) -> None:
        """The connection is in another state."""
        if self.kept:
            names = machine.STATE_NAMES
            self.note(at, who, f"{names[moved.old]} -> {names[moved.new]} ({machine.INPUT_NAMES[moved.why]})")

    def delivery(self, at: int, who: str, shown: effects.Deliver) -> None:
        """The user sees these events."""
        if self.kept:
            sequences = [event.sequence for event in shown.events]
            span = f"#{sequences[0]}" if len(sequences) == 1 else f"#{sequences[0]}..{sequences[-1]}"
            self.note(at, who, f"shows c{shown.channel} {span}")


def words(frame: frames.Frame) -> str:
    """A frame in a few words."""
    if isinstance(frame, frames.Envelope):
        return f"event c{frame.channel} #{frame.sequence}"
    if isinstance(frame, frames.Subscribe):
        return ", ".join(f"subscribe c{channel} from #{sequence}" for channel, _, sequence in frame.channels)
    if isinstance(frame, frames.ErrorFrame):
        advice = f", retry after {frame.retry_after / 1e9:.3g} s" if frame.retry_after >= 0 else ""
        return f"{frames.ERROR_NAMES[frame.error]} c{frame.channel}{advice}"
    if isinstance(frame, frames.Subscribed):
        return f"subscribed c{frame.channel} top #{frame.top}" + ("" if frame.recovered else ", not recovered")
    if isinstance(frame, frames.MessageSend):
        return f"message.send c{frame.channel} key {frame.client_message_id}"
    return NAMES.get(type(frame), type(frame).__name__)


NAMES: dict[type, str] = {frames.ConnectionAck: "connection.ack", frames.Ping: "ping", frames.Pong: "pong"}
