"""Several tabs of one browser as sessions that share a connection: cases 71 to 74, the sessions' part of them (`leader` has its own tests)."""

import pytest

from simfabric.protocol import effects as do
from simfabric.protocol import frames, inputs, machine, tabs
from simfabric.protocol.parameters import Parameters
from tests.protocol.playing import MS, Play, S

BEAT, LEASE = Parameters().beat, Parameters().lease


class Browser:
    """Tabs on one bus: what one says the others hear at once, unless they are frozen."""

    def __init__(self, count):
        self.tabs = [Play(tab=number, shares=True) for number in range(count)]
        self.frozen = set()
        self.told = [0] * count

    def spread(self):
        """Let the bus carry what was said, until nobody says anything more."""
        said = True
        while said:
            said = False
            for number, tab in enumerate(self.tabs):
                news, self.told[number] = tab.log[self.told[number] :], len(tab.log)
                for _, effect in news:
                    if isinstance(effect, do.Broadcast):
                        said = True
                        for other, listener in enumerate(self.tabs):
                            if other != number and other not in self.frozen:
                                listener.feed(inputs.PeerMessage(number, effect.message))

    def wait(self, duration, step=100 * MS):
        for _ in range(duration // step):
            for number, tab in enumerate(self.tabs):
                if number not in self.frozen:
                    tab.wait(step)
                else:
                    tab.now += step
            self.spread()

    def start(self):
        for tab in self.tabs:
            tab.feed(inputs.ConnectRequested())
        self.spread()
        self.wait(3 * BEAT)
        return self

    def thaw(self, number):
        """A frozen tab wakes: its timers are served once, late."""
        self.frozen.remove(number)
        self.tabs[number].sleep(0)
        self.spread()

    @property
    def leaders(self):
        return [number for number, tab in enumerate(self.tabs) if tab.session.sharing.leads and number not in self.frozen]

    def connect(self, top=0, epoch=1):
        """The leader's calls and subscribes are answered."""
        (number,) = self.leaders
        tab = self.tabs[number]
        if tab.session.state == machine.BOOTSTRAP:
            tab.feed(inputs.Bootstrapped(tab.last(do.FetchBootstrap).ticket, (0, 1, 2)))
            tab.answer_token()
        asked = tab.open()
        tab.ack()
        tab.reply(asked, epoch=epoch, top=top)
        self.spread()
        return tab


def browser(count=2):
    """Tabs that all need channel 0, connected."""
    made = Browser(count).start()
    for tab in made.tabs:
        tab.feed(inputs.SubscribeWanted(0))
    made.spread()
    made.connect()
    for number, tab in enumerate(made.tabs):
        if number not in made.leaders:  # Joined before there was a state to send: the first event shows what is lacking.
            tab.feed(inputs.PeerMessage(made.leaders[0], tabs.ChannelState(1, 0, 1, 0)))
    return made


def test_one_tab_of_several_dials():
    made = Browser(3).start()
    assert len(made.leaders) == 1
    assert sum(len(tab.ever(do.FetchBootstrap)) for tab in made.tabs) == 1
    assert [tab.state for number, tab in enumerate(made.tabs) if number not in made.leaders] == ["idle", "idle"]


def test_followers_show_what_the_leader_shows():
    made = browser(3)
    leader = made.tabs[made.leaders[0]]
    for at in (1, 2, 3):
        leader.event(at)
    made.wait(200 * MS)
    assert [tab.shown() for tab in made.tabs] == [[1, 2, 3]] * 3 or [tab.shown()[-3:] for tab in made.tabs] == [[1, 2, 3]] * 3


def test_case_71_a_frozen_leader_is_replaced_and_steps_down_when_it_wakes():
    made = browser(2)
    (old,) = made.leaders
    made.tabs[old].event(1)
    made.wait(200 * MS)
    made.frozen.add(old)
    made.wait(LEASE + 2 * BEAT)
    (new,) = made.leaders
    assert new != old
    tab = made.connect(top=1)
    assert [effect.frame.channels for effect in tab.ever(do.SendFrame) if isinstance(effect.frame, frames.Subscribe)] == [((0, 1, 1),)]
    made.tabs[old].event(2)  # It does not know yet.
    tab.event(2)
    made.thaw(old)
    made.wait(LEASE)
    assert made.leaders == [new] and made.tabs[old].state == "idle"
    assert made.tabs[old].of(do.CloseTransport) or made.tabs[old].ever(do.CloseTransport)
    tab.event(3)
    made.wait(200 * MS)
    for shown in (made.tabs[old].shown(), tab.shown()):
        durable = [item for item in shown if isinstance(item, int)]
        assert durable == [1, 2, 3]


def test_case_72_a_followers_sends_are_handed_to_the_next_leader_with_the_same_keys():
    made = browser(3)
    (old,) = made.leaders
    follower = next(number for number in range(3) if number != old)
    made.tabs[follower].feed(inputs.PublishRequested(0, 77, 100))
    made.spread()
    made.frozen.add(old)
    made.wait(LEASE + 2 * BEAT)
    tab = made.connect()
    assert [effect.frame.client_message_id for effect in tab.ever(do.SendFrame) if isinstance(effect.frame, frames.MessageSend)] == [77]
    tab.frame(frames.MessageAck(1, 77, 5, 1, 1))
    made.spread()
    assert made.tabs[follower].ever(do.PublishSettled) == [do.PublishSettled(77, "sent", "")]
    assert sum(len(tab.ever(do.PublishSettled)) for tab in made.tabs) == 1


def test_case_72_a_leaders_own_sends_move_when_it_is_outranked():
    made = browser(2)
    (old,) = made.leaders
    made.tabs[old].feed(inputs.PublishRequested(0, 5, 100))
    made.frozen.add(old)
    made.wait(LEASE + 2 * BEAT)
    tab = made.connect()
    made.thaw(old)
    made.wait(LEASE)
    assert [effect.frame.client_message_id for effect in tab.ever(do.SendFrame) if isinstance(effect.frame, frames.MessageSend)] == [5]
    assert not made.tabs[old].ever(do.PublishSettled)


@pytest.mark.parametrize(("age", "outcomes"), [(0, []), (1, ["expired"])])
def test_a_followers_send_that_nobody_settles_expires(age, outcomes):
    made = browser(2)
    follower = made.tabs[1 - made.leaders[0]]
    follower.feed(inputs.PublishRequested(0, 77, 100))
    follower.wait(Parameters().outbox_age + age)
    assert [effect.outcome for effect in follower.ever(do.PublishSettled)] == outcomes


def test_case_73_a_tab_that_joins_late_gets_the_state_and_then_what_is_live():
    made = browser(2)
    leader = made.tabs[made.leaders[0]]
    for at in (1, 2):
        leader.event(at)
    made.wait(200 * MS)
    late = Play(tab=9, shares=True)
    late.now = leader.now
    made.tabs.append(late)
    made.told.append(0)
    late.feed(inputs.SubscribeWanted(0))
    late.feed(inputs.ConnectRequested())
    made.spread()
    leader.event(3)
    made.wait(200 * MS)
    assert late.shown() == [(1, 2), 3] and late.state == "idle"


def test_a_follower_that_misses_something_fetches_the_state_itself():
    made = browser(2)
    leader, follower = made.tabs[made.leaders[0]], made.tabs[1 - made.leaders[0]]
    follower.feed(inputs.PeerMessage(made.leaders[0], tabs.Events(1, 0, (follower.envelope(4),))))
    assert follower.of(do.FetchSnapshot)
    follower.snapshot(4)
    assert follower.shown()[-1] == (1, 4) and leader.state == "live"


def test_case_74_what_a_crashed_tab_needed_is_let_go():
    made = browser(2)
    (old,) = made.leaders
    other = 1 - old
    made.tabs[other].feed(inputs.SubscribeWanted(1))
    made.spread()
    leader = made.tabs[old]
    leader.reply(leader.sent(frames.Subscribe))
    assert set(leader.session.subscriptions) == {0, 1}
    made.frozen.add(other)
    for _ in range(4):
        made.wait(10 * S)
        leader.frame(frames.Ping(0))
    left = [effect.frame.channel for effect in leader.ever(do.SendFrame) if isinstance(effect.frame, frames.Unsubscribe)]
    assert left == [1]


def test_a_leader_that_closes_in_good_order_is_replaced_within_two_beats():
    made = browser(2)
    (old,) = made.leaders
    made.tabs[old].feed(inputs.LogoutRequested(closing=True))
    made.spread()
    made.wait(2 * BEAT)
    assert made.leaders == [1 - old]


def test_auth_revoked_signs_every_tab_out():
    made = browser(3)
    made.tabs[made.leaders[0]].frame(frames.AuthRevoked())
    made.spread()
    assert [tab.state for tab in made.tabs] == ["signed_out"] * 3
    assert [tab.session.next_deadline() for tab in made.tabs] == [None] * 3


def test_a_single_session_does_not_know_other_tabs():
    play = Play().live(0)
    play.feed(inputs.PeerMessage(1, tabs.Beat(1, 1)))
    assert play.made == [do.Count("unshared")]
