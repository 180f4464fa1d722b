"""Credits: how many frames a router may have under way to a gateway, or waiting there, before it has to stop.

Each router has `window` credits for each life of each gateway. A frame takes one; the gateway gives it back when the last of its cores has taken
the frame up (or drops it, or is found dead), in the order in which frames came, and it travels back one hop. So nothing else need be known of a
credit than its number: frame k of a pair may go when credit k - window has come back, and the last `window` times of a pair tell when that was.

When a gateway dies, the credits of that life come back at that time, and of what arrives later when it arrives; its next life begins with all of
them. A router that dies takes up nothing more. Frames that go in one with the one before them (a batch) need no credit of their own.

Source: credit-based flow control of ATM links (Kung, Blackwell & Chapman 1994), there per virtual circuit; `request(n)` of Reactive Streams.

Leaves out: credits by bytes, credits shared between routers or lent to the busiest (adaptive credits), and credits that are lost.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from simfabric.compiling import inlined
from simfabric.kernels.state import ALIVE, CORES, DIES_AT, FRAMES, INCARNATION_OF, SLOTS_FIRST, Book, Nodes
from simfabric.kernels.subscriptions import FOLLOWS

CREDITS, BACK_HOP = 0, 1  # Settings: credits of a pair, 0 = no such policy; their way back [ns].
SENDER = 2 * FOLLOWS  # In the extra of a DELIVER that took a credit: above it stands the router, since a partition may change its reader.
WANT_GATEWAY, WANT_LIFE, WANT_NUMBER = range(3)  # What the first waiting message of a router lacks.
UNKNOWN = 9223372036854775807


class Credits(NamedTuple):
    """The credits of all pairs of a router and a life of a gateway. Without the policy one row that nobody reads."""

    settings: Any  # int64[2]
    sent: Any  # int64[routers, gateways, lives]: frames sent. Routers' truth.
    back: Any  # int64[routers, gateways, lives]: credits that are back, or on their way. Gateways' truth.
    back_at: Any  # int64[routers, gateways, lives, window]: when credit k came back [ns], at k modulo window. Gateways' truth.
    wants: Any  # int64[routers, 3]: the credit that each blocked router waits for; gateway -1 = none.


@inlined
def life_of_slot(slot: int, book: Book) -> int:
    """The life of the gateway to which a slot belongs."""
    return 0 if slot < book.pool[SLOTS_FIRST] else int(book.late[slot - book.pool[SLOTS_FIRST], INCARNATION_OF])


@inlined
def credit_at(router: int, gateway: int, life: int, credit: Credits) -> int:
    """When the credit for the next frame of this pair comes back [ns]: 0 if there is one, UNKNOWN before the gateway has given it back."""
    number = credit.sent[router, gateway, life] - credit.settings[CREDITS]
    if number < 0:
        return 0
    if number >= credit.back[router, gateway, life]:
        return 9223372036854775807
    return int(credit.back_at[router, gateway, life, number % credit.settings[CREDITS]])


@inlined
def want(router: int, gateway: int, life: int, credit: Credits) -> None:
    """Note which credit a router waits for: the next one of this pair."""
    credit.wants[router, WANT_GATEWAY] = gateway
    credit.wants[router, WANT_LIFE] = life
    credit.wants[router, WANT_NUMBER] = credit.sent[router, gateway, life] - credit.settings[CREDITS]


def take_credits(router: int, out: Any, first: int, last: int, book: Book, credit: Credits) -> None:
    """The frames first .. last of `out` take a credit each, and say who sent them."""
    for n in range(first, last):
        credit.sent[router, out[n, 2], life_of_slot(out[n, 4], book)] += 1
        out[n, 4] += router * SENDER


def give_back(extra: int, gateway: int, at: int, nodes: Nodes, book: Book, credit: Credits) -> None:
    """The gateway has done with a frame that it took up at `at`; what it would have taken up after its death comes back with that."""
    router = extra // SENDER
    life = life_of_slot(extra % SENDER, book)
    if nodes.state[gateway, ALIVE] == 1:
        at = min(at, nodes.state[gateway, DIES_AT])
    number = credit.back[router, gateway, life]
    window = credit.settings[CREDITS]
    before = credit.back_at[router, gateway, life, (number - 1) % window] if number > 0 else 0
    credit.back_at[router, gateway, life, number % window] = max(before, at + credit.settings[BACK_HOP])
    credit.back[router, gateway, life] = number + 1


def taken_up_at(at: int, gateway: int, nodes: Nodes) -> int:
    """When the last of a gateway's cores took up the frame that was served last, which arrived at `at`."""
    first_core = gateway * nodes.settings[CORES]
    for core in range(first_core, first_core + nodes.settings[CORES]):
        if nodes.turn[core, 0] == nodes.state[gateway, FRAMES]:
            at = max(at, nodes.turn[core, 1])
    return at


def soonest_credit(credit: Credits) -> int:
    """When the first of the credits that blocked routers wait for comes back, of those whose time is known [ns]; UNKNOWN if none is."""
    soonest = 9223372036854775807
    for router in range(len(credit.wants)):
        gateway = credit.wants[router, WANT_GATEWAY]
        if gateway < 0:
            continue
        life = credit.wants[router, WANT_LIFE]
        number = credit.wants[router, WANT_NUMBER]
        if number < credit.back[router, gateway, life]:
            soonest = min(soonest, credit.back_at[router, gateway, life, number % credit.settings[CREDITS]])
    return int(soonest)
