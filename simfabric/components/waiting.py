"""What waits in components: the frames of their inboxes, and what they keep besides.

Leaves out: what clients keep to themselves (held messages stand among their subscriptions).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from simfabric.components.bus import Consumers
from simfabric.components.component import Component
from simfabric.kernels.frames import DELIVER, KIND_SHIFT, PUBLICATION, PUBLISH
from simfabric.world import Array


def all_waiting(component: Component) -> Array:
    """The frames that have been sent to a component and that it has not served, int64[frames, WIDTH], in no order."""
    waiting = component.inbox.waiting()
    held = getattr(component, "waiting", None)
    return waiting if held is None else np.concatenate([waiting, held])


def first_waiting(messages: int, components: Iterable[Component]) -> int:
    """The first of so many messages that any frame or record still speaks of; older ones can be taken out."""
    first = messages
    for component in components:
        frames = all_waiting(component)
        kinds = frames[:, 1] >> KIND_SHIFT
        about = frames[(kinds == PUBLISH) | (kinds == DELIVER) | (kinds == PUBLICATION), 3]
        first = min(first, int(about.min(initial=first)))
        if isinstance(component, Consumers):
            first = min(first, int(component.messages().min(initial=first)))
    return first
