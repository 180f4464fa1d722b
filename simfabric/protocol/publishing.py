"""Publishing: one author's messages reach the log in the order in which they came.

Of each channel one publication is with the log at a time and the others wait behind it. If the log refuses it for now, those behind it are
refused with it: they come again in their order, and none overtakes. The log looks up (user, key) and appends in one step; its answer is the
acknowledgement, and says so when the key was there before.
"""

from __future__ import annotations

from collections import deque

from simfabric.protocol import frames
from simfabric.protocol.effects import Append, Count, GatewayEffect
from simfabric.protocol.frames import Frame, MessageSend
from simfabric.protocol.inputs import AppendSettled
from simfabric.protocol.parameters import Parameters


class Publications:
    """The publications of one connection that have no answer yet."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.queues: dict[int, deque[MessageSend]] = {}  # Of each channel; the first one is with the log.
        self.channels: dict[int, int] = {}  # Number of an append -> channel.
        self.appends = 0
        self.count = 0

    def add(self, send: MessageSend, user: int, effects: list[GatewayEffect]) -> bool:
        """Take a publication; False when too many wait already."""
        if self.count >= self.parameters.outbox_cap:
            return False
        self.count += 1
        queue = self.queues.setdefault(send.channel, deque())
        queue.append(send)
        if len(queue) == 1:
            self._append(send, user, effects)
        return True

    def settle(self, settled: AppendSettled, user: int, effects: list[GatewayEffect]) -> list[Frame]:
        """The log answered: what to tell the author."""
        channel = self.channels.pop(settled.correlation, -1)
        queue = self.queues.get(channel)
        if not queue or queue[0].client_message_id != settled.client_message_id:
            effects.append(Count("stale"))
            return []
        if settled.failed:
            del self.queues[channel]
            self.count -= len(queue)
            return [frames.ErrorFrame(send.correlation, frames.UNAVAILABLE, channel, self.parameters.ack_timeout) for send in queue]
        send = queue.popleft()
        self.count -= 1
        if queue:
            self._append(queue[0], user, effects)
        else:
            del self.queues[channel]
        return [frames.MessageAck(send.correlation, send.client_message_id, settled.event, settled.sequence, settled.epoch, settled.duplicate)]

    def refuse(self, channel: int) -> list[int]:
        """Access to the channel has ended: the correlations of what waits. The one that is with the log is decided there."""
        queue = self.queues.get(channel)
        if not queue:
            return []
        refused = [queue.pop().correlation for _ in range(len(queue) - 1)]
        self.count -= len(refused)
        return refused[::-1]

    def clear(self) -> None:
        """The connection is gone; what is with the log stays there."""
        self.queues.clear()
        self.channels.clear()
        self.count = 0

    def _append(self, send: MessageSend, user: int, effects: list[GatewayEffect]) -> None:
        self.appends += 1
        self.channels[self.appends] = send.channel
        effects.append(Append(self.appends, send.channel, user, send.client_message_id, send.size))
