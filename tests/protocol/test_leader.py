"""One leader among tabs: rank, lease, freeze, crash, a slow bus; cases 71 to 74."""

import heapq

import pytest

from simfabric.chance import decision_key, uniform
from simfabric.protocol.frames import Envelope
from simfabric.protocol.leader import Followed, Gained, Leader, Lost, Passed, Say, TabJoined, WantsChanged
from simfabric.protocol.tabs import AuthEnded, Beat, ChannelState, Claim, CursorShared, Events, Feed, Forward, Settled, Wants

S = 10**9
MS = 10**6
BEAT, LEASE = 2 * S, 6 * S
KEY = decision_key(1, 0, "clients/claim")


class Bus:
    """Tabs over a bus with a random delay, in virtual time. A frozen tab hears everything, late; a crashed one nothing. `trail` keeps actions."""

    def __init__(self, tabs, seed=1, slowest=20 * MS, hidden=()):
        self.key = decision_key(seed, 0, "tests/bus")
        self.slowest = slowest
        self.now = 0
        self.sent = 0
        self.queue = []  # (at, serial, to, message): inputs before timers.
        self.tabs = {tab: Leader(tab, BEAT, LEASE, decision_key(seed, 0, "clients/claim"), tab not in hidden) for tab in range(tabs)}
        self.asleep = {}  # Frozen tab -> what it will hear on waking.
        self.trail = []  # (at, tab, action).
        self.claimed = []  # (term, tab, at).

    def carry(self, tab, actions):
        for action in actions:
            self.trail.append((self.now, tab, action))
            if isinstance(action, Gained):
                self.claimed.append((action.term, tab, self.now))
            if isinstance(action, Say):
                self.say(tab, action.message)

    def say(self, tab, message):
        for other in [*self.tabs, *self.asleep]:
            if other != tab:
                delay = 1 + int(uniform(self.key, other, self.sent) * self.slowest)
                self.sent += 1
                heapq.heappush(self.queue, (self.now + delay, self.sent, other, message))

    def start(self, *tabs):
        for tab in tabs or tuple(self.tabs):
            self.carry(tab, self.tabs[tab].start(self.now))

    def crash(self, tab):
        del self.tabs[tab]

    def freeze(self, tab):
        self.asleep[tab] = (self.tabs.pop(tab), [])

    def wake(self, tab):
        self.tabs[tab], heard = self.asleep.pop(tab)
        for message in heard:
            self.carry(tab, self.tabs[tab].handle(message, self.now))
        self.carry(tab, self.tabs[tab].handle_timers(self.now))

    def run(self, until, check=None):
        while True:
            timers = [(leader.next_deadline(), tab) for tab, leader in self.tabs.items() if leader.next_deadline() is not None]
            at, tab = min(timers, default=(until + 1, -1))
            if self.queue and self.queue[0][0] <= min(at, until):
                self.now, _, to, message = heapq.heappop(self.queue)
                if to in self.asleep:
                    self.asleep[to][1].append(message)
                elif to in self.tabs:
                    self.carry(to, self.tabs[to].handle(message, self.now))
            elif at <= until:
                assert at >= self.now, "no timer lies in the past"
                self.now = at
                self.carry(tab, self.tabs[tab].handle_timers(at))
            else:
                self.now = until
                return
            if check is not None:
                check(self)

    def leaders(self):
        return [tab for tab, leader in self.tabs.items() if leader.leads]


def actions_of(bus, tab, kind, since=0):
    return [action for at, who, action in bus.trail if who == tab and at >= since and isinstance(action, kind)]


def settled(bus):
    """One leader, all the others follow it in its term."""
    (leader,) = bus.leaders()
    assert {tab.leader for tab in bus.tabs.values()} == {leader}
    assert {tab.term for tab in bus.tabs.values()} == {bus.tabs[leader].term}
    return leader


def test_a_lone_tab_leads_within_a_beat():
    bus = Bus(1)
    bus.start()
    bus.run(BEAT)
    assert bus.leaders() == [0]
    assert [tab for _, tab, action in bus.trail if isinstance(action, Gained)] == [0]


@pytest.mark.parametrize("tabs", [2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(10))
def test_tabs_that_open_together_agree_on_one_leader(tabs, seed):
    bus = Bus(tabs, seed)
    bus.start()
    bus.run(2 * BEAT)
    assert settled(bus) in range(tabs)


@pytest.mark.parametrize("tabs", [2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(10))
def test_after_a_crash_of_the_leader_another_leads_within_a_lease_and_two_beats(tabs, seed):
    bus = Bus(tabs, seed, hidden=range(tabs))
    bus.start()
    bus.run(20 * S)
    crashed = settled(bus)
    at = bus.now
    bus.crash(crashed)
    bus.run(at + LEASE + 2 * BEAT + bus.slowest)
    later = [claim for claim in bus.claimed if claim[2] > at]
    assert later
    assert later[0][2] < at + LEASE + 2 * BEAT + bus.slowest
    bus.run(bus.now + BEAT)
    settled(bus)


def test_a_visible_tab_claims_before_hidden_ones():
    for seed in range(20):
        bus = Bus(4, seed, hidden=(1, 2, 3))
        bus.start()
        bus.run(BEAT + 1)
        assert bus.leaders() == [0]


def test_a_tab_that_becomes_visible_while_it_waits_claims_earlier():
    tab = Leader(3, BEAT, LEASE, KEY, visible=False)
    tab.start(0)
    hidden = tab.claim_at
    assert hidden >= BEAT
    tab.set_visible(True, 0)
    assert tab.claim_at < BEAT


def test_becoming_visible_never_delays_a_claim():
    for number in range(50):
        tab = Leader(number, BEAT, LEASE, KEY, visible=False)
        tab.start(0)
        waited = tab.claim_at
        tab.set_visible(True, waited - BEAT // 4)
        assert tab.claim_at <= waited


def test_each_claim_waits_for_another_time():
    tab = Leader(3, BEAT, LEASE, KEY)
    waits = set()
    for _ in range(10):
        tab.start(0)
        waits.add(tab.claim_at)
    assert len(waits) == 10


def test_a_tab_that_was_frozen_when_it_should_have_claimed_listens_first():
    tab = Leader(3, BEAT, LEASE, KEY)
    tab.start(0)
    late = tab.claim_at + BEAT + 1
    tab.handle_timers(late)
    assert not tab.leads
    assert late < tab.claim_at <= late + BEAT
    tab.handle_timers(tab.claim_at)
    assert tab.leads


def test_a_beat_of_an_older_term_is_not_followed_even_when_nobody_leads():
    tab = Leader(3, BEAT, LEASE, KEY)
    tab.start(0)
    tab.handle(Beat(5, 1), 1)
    tab.handle_timers(1 + LEASE)
    assert tab.leader == -1
    assert tab.handle(Beat(4, 2), 2 + LEASE) == []
    assert (tab.leader, tab.term) == (-1, 5)
    tab.handle(Beat(5, 2), 3 + LEASE)
    assert tab.leader == 2


def test_a_leader_that_resigns_is_followed_without_waiting_for_the_lease():
    bus = Bus(3)
    bus.start()
    bus.run(10 * S)
    old, at = settled(bus), bus.now
    bus.carry(old, bus.tabs[old].stop())
    bus.crash(old)
    bus.run(at + BEAT + 2 * bus.slowest + 1)
    assert settled(bus) != old


def test_case_71_a_frozen_leader_that_wakes_steps_down():
    bus = Bus(3)
    bus.start()
    bus.run(10 * S)
    frozen = settled(bus)
    bus.freeze(frozen)
    bus.run(bus.now + LEASE + 2 * BEAT + S)
    (successor,) = bus.leaders()
    at = bus.now
    bus.wake(frozen)
    assert not bus.tabs[frozen].leads
    (lost,) = actions_of(bus, frozen, Lost, at)
    assert lost == Lost(bus.tabs[successor].term, successor)
    bus.run(at + S)
    assert settled(bus) == successor


def test_case_71_a_leader_that_heard_nothing_learns_from_the_answer_to_its_own_beat():
    old, new = Leader(0, BEAT, LEASE, KEY), Leader(1, BEAT, LEASE, KEY)
    old.start(0)
    old.handle_timers(old.claim_at)
    new.start(0)
    new.handle(Claim(1, 0), 1)
    new.handle_timers(1 + LEASE)
    new.handle_timers(new.claim_at)
    assert old.leads and new.leads
    assert new.term == 2
    (answer,) = new.handle(Beat(1, 0), 20 * S)
    assert answer == Say(Beat(2, 1))
    actions = old.handle(answer.message, 20 * S)
    assert actions[0] == Lost(2, 1)
    assert not old.leads


def test_case_71_while_two_lead_a_follower_shows_each_event_once():
    feed = Feed()
    assert feed.start_at(7, 3, 10)
    first = Events(1, 7, (Envelope(7, 11, 3, 911), Envelope(7, 12, 3, 912)))
    second = Events(2, 7, (Envelope(7, 12, 3, 912), Envelope(7, 13, 3, 913)))
    shown = [event.sequence for message in (first, second, first) for event in feed.take(message)[0]]
    assert shown == [11, 12, 13]


def test_of_two_that_claim_the_same_term_the_lower_tab_leads():
    low, high = Leader(1, BEAT, LEASE, KEY), Leader(2, BEAT, LEASE, KEY)
    for tab in (low, high):
        tab.start(0)
        tab.handle_timers(tab.claim_at)
    assert low.leads and high.leads
    assert low.handle(Claim(1, 2), 3 * S) == [Say(Beat(1, 1))]
    assert high.handle(Claim(1, 1), 3 * S)[0] == Lost(1, 1)
    assert low.leads and not high.leads


@pytest.mark.parametrize("tabs", [2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(8))
def test_terms_never_go_back_and_have_one_leader_each_on_a_slow_bus_with_freezes_and_crashes(tabs, seed):
    """The bus may take half a beat, so two may claim one term; that lasts no longer than their claims need to cross."""
    slowest = BEAT // 2
    bus = Bus(tabs, seed, slowest=slowest)
    terms = dict.fromkeys(range(tabs), 0)
    together = {}  # Term -> when two of its leaders were first seen at once.

    def check(bus):
        for tab, leader in bus.tabs.items():
            assert leader.term >= terms[tab]
            terms[tab] = leader.term
        leading = {}
        for tab in bus.leaders():
            leading.setdefault(bus.tabs[tab].term, []).append(tab)
        for term, several in leading.items():
            if len(several) > 1:
                assert bus.now <= together.setdefault(term, bus.now) + slowest + 1

    key = decision_key(seed, 0, "tests/faults")
    bus.start()
    for n in range(12):
        bus.run(bus.now + int(uniform(key, tabs, n) * 15 * S), check)
        victim = sorted(bus.tabs)[int(uniform(key, tabs, 100 + n) * len(bus.tabs))]
        if bus.asleep:
            bus.wake(next(iter(bus.asleep)))
        elif len(bus.tabs) > 1 and n % 4 == 3 and tabs > 2 and len(bus.tabs) == tabs:
            bus.crash(victim)
        elif len(bus.tabs) > 1:
            bus.freeze(bus.leaders()[0] if bus.leaders() and n % 2 else victim)
    while bus.asleep:
        bus.wake(next(iter(bus.asleep)))
    bus.run(bus.now + LEASE + 2 * BEAT + 4 * slowest, check)
    settled(bus)


def test_case_72_a_dead_leader_with_unacked_sends_followers_hand_them_to_the_next_one_with_the_same_keys():
    bus = Bus(3)
    bus.start()
    bus.run(10 * S)
    dead = settled(bus)
    sender = next(tab for tab in bus.tabs if tab != dead)
    send = Forward(sender, 7, 4242, 100)
    bus.carry(sender, [Say(send)])
    bus.run(bus.now + S)
    assert [action.message for action in actions_of(bus, dead, Passed)] == [send]
    bus.crash(dead)
    at = bus.now
    bus.run(at + LEASE + 2 * BEAT + S)
    successor = settled(bus)
    if successor == sender:
        sender = next(tab for tab in bus.tabs if tab != successor)
    assert actions_of(bus, sender, Followed, at) == [Followed(bus.tabs[successor].term, successor)]
    bus.carry(sender, [Say(Forward(sender, 7, 4242, 100))])
    bus.run(bus.now + S)
    assert [action.message.client_message_id for action in actions_of(bus, successor, Passed, at)] == [4242]
    bus.carry(successor, [Say(Settled(sender, 4242, "sent"))])
    bus.run(bus.now + S)
    assert actions_of(bus, sender, Passed, at) == [Passed(Settled(sender, 4242, "sent"))]


def test_only_the_sender_hears_what_became_of_its_send_and_everybody_of_sign_out_and_cursors():
    other = Leader(5, BEAT, LEASE, KEY)
    other.start(0)
    assert other.handle(Settled(4, 1, "sent"), 1) == []
    assert other.handle(AuthEnded(), 1) == [Passed(AuthEnded())]
    assert other.handle(CursorShared(1, 1, 5), 1) == [Passed(CursorShared(1, 1, 5))]


def test_case_73_a_follower_that_joins_late_gets_state_and_then_what_follows_it():
    bus = Bus(3)
    bus.start(0, 1)
    bus.run(10 * S)
    (leader,) = bus.leaders()
    at = bus.now
    bus.start(2)
    bus.run(at + 100 * MS)
    assert bus.tabs[2].leader == leader
    assert actions_of(bus, leader, TabJoined, at) == [TabJoined(2)]
    feed = Feed()
    assert feed.take(Events(1, 7, (Envelope(7, 41, 3, 941),))) == ((), True)  # Live came before the state: it has to wait.
    state = ChannelState(1, 7, 3, 42, to=2)
    assert bus.tabs[2].handle(state, bus.now) == [Passed(state)]
    assert bus.tabs[1 - leader].handle(state, bus.now) == []
    assert feed.start_at(7, state.epoch, state.sequence)
    shown, missing = feed.take(Events(1, 7, tuple(Envelope(7, sequence, 3, 900 + sequence) for sequence in (41, 42, 43, 44))))
    assert [event.sequence for event in shown] == [43, 44]
    assert not missing


def test_a_follower_that_misses_an_event_asks_for_the_state_and_never_goes_back():
    feed = Feed()
    feed.start_at(7, 3, 10)
    shown, missing = feed.take(Events(1, 7, (Envelope(7, 11, 3, 911), Envelope(7, 13, 3, 913))))
    assert ([event.sequence for event in shown], missing) == ([11], True)
    assert not feed.start_at(7, 3, 9)
    assert not feed.start_at(7, 2, 99)
    assert feed.take(Events(1, 7, (Envelope(7, 12, 2, 1),))) == ((), False)
    assert feed.take(Events(1, 7, (Envelope(7, 1, 4, 2),))) == ((), True)
    assert feed.start_at(7, 4, 1)


def test_case_74_wants_of_a_crashed_tab_end_with_its_lease():
    bus = Bus(3)
    for tab, leader in bus.tabs.items():
        leader.set_wants(((7, False, True), (10 + tab, False, False)))
    bus.start()
    bus.run(10 * S)
    leader = settled(bus)
    crashed, other = (tab for tab in bus.tabs if tab != leader)
    assert actions_of(bus, leader, WantsChanged)[-1] == WantsChanged(((7, False, True), *((10 + tab, False, False) for tab in sorted((crashed, other)))))
    at = bus.now
    bus.crash(crashed)
    bus.run(at + LEASE + bus.slowest)
    assert actions_of(bus, leader, WantsChanged, at) == [WantsChanged(((7, False, True), (10 + other, False, False)))]


def test_case_74_a_tab_that_closes_or_changes_its_wants_is_heard_at_once():
    leader = Leader(0, BEAT, LEASE, KEY)
    leader.start(0)
    leader.handle_timers(leader.claim_at)
    now = 3 * S
    assert leader.handle(Wants(1, ((7, True, False),)), now) == [TabJoined(1), WantsChanged(((7, True, False),))]
    assert leader.handle(Wants(2, ((7, False, True),)), now)[-1] == WantsChanged(((7, True, True),))
    assert leader.handle(Wants(2, ((7, False, True),)), now) == []
    assert leader.handle(Wants(1, ()), now) == [WantsChanged(((7, False, True),))]
