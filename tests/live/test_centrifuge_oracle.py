"""Clients that we did not write see every publication once and in order: PyPI centrifuge-python, and npm centrifuge where Node.js is.

They neither drop doubles nor notice gaps, so whatever the gateway sends wrongly stands in their log. A subscribe that could not be
recovered stands there, too, with the position that the client takes: it replaces what is missing. Known answers of the two are asserted on
the way, so the oracle is known to listen.
"""

import asyncio
import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from simfabric.live.backend import Backend
from simfabric.live.clock import LoopClock
from simfabric.live.gateway import Gateway
from simfabric.protocol.parameters import Parameters
from tests.live.centrifugo_wire import Centrifugo

HERE = Path(__file__).parent
CHANNEL, OTHER = 7, 8
USER = 1
MS = 10**6
PATIENCE = 60  # For a busy machine [s].


class Log:
    """What a client saw, in order, and a way to wait for it."""

    def __init__(self):
        self.seen = []
        self.changed = asyncio.Event()

    def add(self, **what):
        self.seen.append(what)
        self.changed.set()

    def of(self, *kinds):
        return [what for what in self.seen if what["kind"] in kinds]

    async def until(self, enough):
        async with asyncio.timeout(PATIENCE):
            while not enough():
                self.changed.clear()
                await self.changed.wait()

    async def holds(self, kind, count):
        await self.until(lambda: len(self.of(kind)) >= count)


class PythonClient(Log):
    """centrifuge-python."""

    async def open(self, service, token, channels, ping_delay=10.0):
        import centrifuge

        log = self

        class Events(centrifuge.ClientEventHandler):
            async def on_connected(self, at):
                log.add(kind="connected")

            async def on_connecting(self, at):
                log.add(kind="connecting", code=at.code)

            async def on_disconnected(self, at):
                log.add(kind="disconnected", code=at.code)

        class Heard(centrifuge.SubscriptionEventHandler):
            def __init__(self, channel):
                self.channel = channel

            async def on_subscribed(self, at):
                position = at.stream_position
                add = {"asked": at.was_recovering, "recovered": at.recovered, "epoch": position.epoch, "offset": position.offset}
                log.add(kind="subscribed", channel=self.channel, **add)

            async def on_unsubscribed(self, at):
                log.add(kind="unsubscribed", channel=self.channel, code=at.code)

            async def on_publication(self, at):
                log.add(kind="publication", channel=self.channel, offset=at.pub.offset, event=at.pub.data["event"])

        async def get_token():
            log.add(kind="token")
            return service.backend.issue(USER, service.clock.now())

        self.client = centrifuge.Client(
            service.url, Events(), token, get_token, min_reconnect_delay=0.01, max_reconnect_delay=0.02, max_server_ping_delay=ping_delay, proxy=None
        )
        self.subscriptions = {}
        for channel in channels:
            self.subscriptions[channel] = self.client.new_subscription(
                channel, Heard(channel), recoverable=True, min_resubscribe_delay=0.01, max_resubscribe_delay=0.02
            )
            await self.subscriptions[channel].subscribe()
        await self.client.connect()

    def publish(self, channel, key, size):
        async def run():
            await self.subscriptions[channel].publish({"key": key, "size": size})
            self.add(kind="sent", key=key)

        self.publishing = asyncio.ensure_future(run())

    async def close(self):
        await self.client.disconnect()


class NodeClient(Log):
    """npm centrifuge, in a process of its own."""

    async def open(self, service, token, channels, ping_delay=10.0):
        self.service = service
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec("node", str(HERE / "centrifuge_client.mjs"), stdin=pipe, stdout=pipe, cwd=HERE)
        self.reading = asyncio.ensure_future(self.read())
        self.say(do="open", url=service.url, token=token, channels=list(channels), delay=10, pingDelay=int(ping_delay * 1000))

    def say(self, **command):
        self.process.stdin.write(json.dumps(command).encode() + b"\n")

    async def read(self):
        async for line in self.process.stdout:
            what = json.loads(line)
            if what["kind"] == "token":
                self.say(do="token", token=self.service.backend.issue(USER, self.service.clock.now()))
            self.add(**what)

    def publish(self, channel, key, size):
        self.say(do="publish", channel=channel, data={"key": key, "size": size})

    async def close(self):
        self.say(do="close")
        self.process.stdin.close()
        await self.process.wait()
        await self.reading


def missing_python():
    return None if importlib.util.find_spec("centrifuge") else "centrifuge-python is not installed (extra dev)"


def missing_node():
    if shutil.which("node") is None:
        return "Node.js is not installed"
    return None if (HERE / "node_modules" / "centrifuge").exists() else "npm centrifuge is not installed (npm install --prefix tests/live --ignore-scripts)"


CLIENTS = [
    pytest.param(PythonClient, id="python", marks=pytest.mark.skipif(missing_python() is not None, reason=str(missing_python()))),
    pytest.param(NodeClient, id="node", marks=pytest.mark.skipif(missing_node() is not None, reason=str(missing_node()))),
]
each_client = pytest.mark.parametrize("kind", CLIENTS)


class Play:
    """A served gateway, a client, and what a script does to them."""

    def __init__(self, service, client):
        self.service = service
        self.gateway = service.gateway
        self.backend = service.backend
        self.client = client
        self.key = 0

    def publish(self, count, channel=CHANNEL, lost=False):
        """Publications of somebody else; `lost`: they reach the log, but their fan-out does not reach this gateway."""
        for _ in range(count):
            self.key += 1
            now = self.service.clock.now()
            if lost:
                self.backend.append(0, channel, 99, self.key, 10, now)
            else:
                self.gateway.publish(channel, 99, self.key, 10, now)
        self.service.after()

    async def sees(self, sequence, channel=CHANNEL):
        """The client has come to this position, by an event or by a reset."""

        def there():
            mine = [what for what in self.client.of("publication", "subscribed") if what["channel"] == f"c{channel}"]
            positions = [what["offset"] for what in mine if not what.get("recovered")]  # What was recovered comes after its subscribe.
            return positions and positions[-1] == sequence

        await self.client.until(there)

    def shown(self, channel=CHANNEL):
        """(epoch, sequence) of every publication, and ("reset", epoch, sequence) for each subscribe that did not recover."""
        story, epoch = [], ""
        for what in self.client.seen:
            if what.get("channel") != f"c{channel}":
                continue
            if what["kind"] == "subscribed":
                if what["asked"] and not what["recovered"]:
                    story.append(("reset", what["epoch"], what["offset"]))
                epoch = what["epoch"]
            elif what["kind"] == "publication":
                story.append((epoch or "1", what["offset"]))
        return story


def play(kind, script, token=None, channels=(CHANNEL,), ping_delay=10.0, **changes):
    """Run a script with a client of this kind against a served gateway; it starts when the client is subscribed."""
    parameters = Parameters(**{"inline_recovery": 2_000, **changes})

    async def run():
        backend = Backend((CHANNEL, OTHER), parameters)
        async with asyncio.timeout(2 * PATIENCE), Centrifugo(Gateway.of(backend), LoopClock()) as service:
            client = kind()
            first = backend.issue(USER, service.clock.now()) if token is None else token
            await client.open(service, first, [f"c{channel}" for channel in channels], ping_delay)
            try:
                await client.holds("subscribed", len(channels))
                await script(Play(service, client))
            finally:
                await client.close()

    asyncio.run(run())


def events(epoch, first, last):
    return [(epoch, sequence) for sequence in range(first, last + 1)]


@each_client
def test_what_is_published_while_connected_is_seen_once_and_in_order(kind):
    async def script(at):
        at.publish(100)
        at.publish(3, OTHER)
        await at.sees(100)
        await at.sees(3, OTHER)
        assert at.shown() == events("1", 1, 100)
        assert at.shown(OTHER) == events("1", 1, 3)

    play(kind, script, channels=(CHANNEL, OTHER))


@each_client
def test_the_oracle_sees_a_double_and_a_hole(kind):
    """The gateway is made to send wrongly: were the clients to hide it, nothing here would prove anything."""

    async def script(at):
        at.publish(2)
        now = at.service.clock.now()
        at.gateway.route(at.backend.logs[CHANNEL].events[0], now)
        at.publish(1, lost=True)
        at.publish(1)
        await at.sees(4)
        assert at.shown() == [("1", 1), ("1", 2), ("1", 1), ("1", 4)]

    play(kind, script)


@each_client
def test_own_publications_are_acknowledged_and_come_back_once(kind):
    async def script(at):
        at.client.publish(f"c{CHANNEL}", 5001, 10)
        await at.client.holds("sent", 1)
        await at.sees(1)
        at.client.publish(f"c{CHANNEL}", 5001, 10)
        await at.client.holds("sent", 2)
        at.publish(1)
        await at.sees(2)
        assert at.shown() == events("1", 1, 2)

    play(kind, script)


@each_client
def test_after_a_kill_what_was_missed_comes_first(kind):
    async def script(at):
        at.publish(10)
        await at.sees(10)
        for round_ in range(1, 6):
            at.service.kill()
            at.publish(10)
            await at.client.holds("connected", round_ + 1)
            at.publish(10)
            await at.sees(10 + 20 * round_)
        assert at.shown() == events("1", 1, 110)
        assert not [what for what in at.client.of("subscribed") if what["asked"] and not what["recovered"]]

    play(kind, script)


@each_client
def test_kills_amid_a_burst_lose_nothing_and_double_nothing(kind):
    async def script(at):
        for round_ in range(1, 6):
            at.publish(30)
            await at.client.until(lambda enough=30 * round_ - 15: len(at.client.of("publication")) >= enough)
            at.service.kill()
            await at.client.holds("connected", round_ + 1)
        await at.sees(150)
        assert at.shown() == events("1", 1, 150)

    play(kind, script)


@each_client
def test_a_drain_moves_the_client_without_a_hole(kind):
    async def script(at):
        at.publish(10)
        await at.sees(10)
        at.gateway.drain(0, 0, 50 * MS, at.service.clock.now())
        at.service.after()
        at.publish(10)
        await at.client.holds("connected", 2)
        at.publish(10)
        await at.sees(30)
        assert at.shown() == events("1", 1, 30)
        assert 3001 in [what["code"] for what in at.client.of("connecting")]

    play(kind, script)


@each_client
def test_a_log_that_was_lost_while_away_is_a_reset_and_its_next_epoch_goes_on_from_there(kind):
    async def script(at):
        at.publish(10)
        await at.sees(10)
        at.service.kill()
        at.backend.logs[CHANNEL].new_epoch()
        at.publish(12)  # Beyond the old position: by the sequence alone it would look like two missed events.
        await at.client.holds("connected", 2)
        await at.sees(12)
        at.publish(2)
        await at.sees(14)
        assert at.shown() == [*events("1", 1, 10), ("reset", "2", 12), *events("2", 13, 14)]

    play(kind, script)


@each_client
def test_what_retention_took_while_away_is_a_reset_and_nothing_of_the_rest_is_shown(kind):
    async def script(at):
        at.publish(10)
        await at.sees(10)
        at.service.kill()
        at.publish(10)
        at.backend.logs[CHANNEL].truncate(15)
        await at.client.holds("connected", 2)
        await at.sees(20)
        at.publish(1)
        await at.sees(21)
        assert at.shown() == [*events("1", 1, 10), ("reset", "1", 20), ("1", 21)]

    play(kind, script)


@each_client
def test_at_the_top_a_client_recovers_although_retention_took_everything(kind):
    async def script(at):
        at.publish(10)
        await at.sees(10)
        at.service.kill()
        at.backend.logs[CHANNEL].truncate(11)
        await at.client.holds("subscribed", 2)
        assert at.client.of("subscribed")[1]["recovered"]
        at.publish(1)
        await at.sees(11)
        assert at.shown() == events("1", 1, 11)

    play(kind, script)


@each_client
def test_an_empty_channel_is_recovered_from_its_first_event(kind):
    async def script(at):
        at.service.kill()
        at.publish(3)
        await at.sees(3)
        assert at.shown() == events("1", 1, 3)

    play(kind, script)


@each_client
def test_events_whose_fan_out_was_lost_come_with_the_position_check(kind):
    async def script(at):
        at.publish(5)
        await at.sees(5)
        at.publish(3, lost=True)
        await at.sees(8)
        at.publish(1)
        await at.sees(9)
        assert at.shown() == events("1", 1, 9)

    play(kind, script, position_check=20 * MS)


@each_client
def test_an_expired_token_is_refetched_once(kind):
    async def script(at):
        assert len(at.client.of("token")) == 1
        at.publish(1)
        await at.sees(1)

    play(kind, script, token="expired")


@each_client
def test_a_channel_whose_access_ends_is_unsubscribed_for_good_and_shows_nothing_more(kind):
    async def script(at):
        at.publish(2)
        at.publish(1, OTHER)
        await at.sees(2)
        at.gateway.revoke_access(USER, CHANNEL, at.service.clock.now())
        at.publish(2)
        await at.client.holds("unsubscribed", 1)
        at.service.kill()
        at.publish(2)
        at.publish(1, OTHER)
        await at.sees(2, OTHER)
        assert at.shown() == events("1", 1, 2)
        assert at.client.of("unsubscribed")[0]["code"] == 2000

    play(kind, script, channels=(CHANNEL, OTHER))


@each_client
def test_a_revoked_user_is_disconnected_for_good(kind):
    async def script(at):
        at.gateway.revoke_user(USER, at.service.clock.now())
        await at.client.holds("disconnected", 1)
        assert at.client.of("disconnected")[0]["code"] == 3503
        assert not at.gateway.connections

    play(kind, script)


@each_client
def test_pings_keep_a_silent_connection_and_their_absence_ends_it(kind):
    async def script(at):
        number = next(iter(at.gateway.connections))
        pongs = []
        receive = at.gateway.receive
        at.gateway.receive = lambda *given: (pongs.append(given[0]), receive(*given), at.client.changed.set())
        await at.client.until(lambda: len(pongs) >= 3)
        assert set(pongs) == {number}
        at.service.frozen = True
        await at.client.until(lambda: len(at.client.of("connecting")) >= 2)

    play(kind, script, ping_delay=0.3, heartbeat_interval=100 * MS, heartbeat_timeout=10**9 * 100)
