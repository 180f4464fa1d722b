"""A golden trace: one small script, and every effect of it. A change of this text is a change of behaviour, and is to be read as one."""

from simfabric.protocol import effects as do
from simfabric.protocol import frames, inputs
from tests.protocol.playing import Play, S

TRACE = """
1.000000000 FetchBootstrap(ticket=1)
1.000000000 StateChanged(old=0, new=1, why=0, shown=1)
1.000000000 FetchToken(ticket=4)
1.000000000 StateChanged(old=1, new=2, why=1, shown=1)
1.000000000 OpenTransport(generation=1, kind=0, avoid=-1)
1.000000000 StateChanged(old=2, new=3, why=2, shown=1)
1.000000000 Send(1, Subscribe(correlation=5, channels=((0, 0, -1),)))
1.000000000 Send(1, Subscribe(correlation=6, channels=((1, 0, -1),)))
1.000000000 StateChanged(old=3, new=4, why=3, shown=1)
1.000000000 StateChanged(old=4, new=6, why=4, shown=3)
1.000000000 Send(1, MessageSend(correlation=7, channel=1, client_message_id=70, size=200, schema=2))
1.050000000 Deliver(0: 5)
1.400000000 FetchReplay(ticket=8, channel=0, epoch=1, after=5, limit=300)
1.400000000 StateChanged(old=6, new=7, why=8, shown=4)
2.000000000 PersistCursor(channel=0, epoch=1, sequence=5)
2.000000000 PersistCursor(channel=1, epoch=1, sequence=4)
2.100000000 StateChanged(old=7, new=6, why=6, shown=3)
2.100000000 PublishSettled(client_message_id=70, outcome='sent', reason='')
2.150000000 Deliver(0: 6 7)
2.150000000 Deliver(1: 5)
3.150000000 PersistCursor(channel=0, epoch=1, sequence=7)
3.150000000 PersistCursor(channel=1, epoch=1, sequence=5)
4.100000000 Send(1, Pong(t=9))
4.100000000 FetchReplay(ticket=9, channel=1, epoch=1, after=5, limit=300)
4.100000000 StateChanged(old=6, new=7, why=8, shown=4)
4.100000000 CancelFetch(ticket=9, kind=2)
4.100000000 StateChanged(old=7, new=8, why=11, shown=2)
5.961897699 OpenTransport(generation=3, kind=0, avoid=-1)
5.961897699 StateChanged(old=8, new=3, why=14, shown=2)
7.100000000 Send(3, Subscribe(correlation=10, channels=((0, 1, 7),)))
7.100000000 Send(3, Subscribe(correlation=11, channels=((1, 1, 5),)))
7.100000000 StateChanged(old=3, new=4, why=3, shown=2)
7.100000000 FetchReplay(ticket=12, channel=1, epoch=1, after=5, limit=300)
7.100000000 StateChanged(old=4, new=5, why=5, shown=2)
7.100000000 StateChanged(old=5, new=6, why=6, shown=3)
7.150000000 Deliver(1: 6 7)
8.100000000 CloseTransport(generation=3, code=1000, reason='', advised=-1, spread=0)
8.100000000 PersistCursor(channel=1, epoch=1, sequence=7)
8.100000000 ClearLocal()
8.100000000 StateChanged(old=6, new=0, why=17, shown=0)
"""


def script():
    play = Play(seed=3, client=17)
    play.start(0, 1)
    asked = play.open()
    play.ack()
    play.reply(asked, top=4)
    play.event(5)
    play.feed(inputs.PublishRequested(1, 70, 200))
    play.wait(S // 10)
    play.event(7)
    play.wait(S)
    play.page(6, 7)
    play.event(5, channel=1, client_message_id=70)
    play.wait(2 * S)
    play.frame(frames.Ping(9, ((1, 1, 6),)))
    play.close(1012, advised=S, spread=S)
    play.wait(3 * S)
    asked = play.open()
    play.ack()
    play.reply(asked, top=7)
    play.page(6, 7)
    play.wait(S)
    play.feed(inputs.LogoutRequested())
    return play


def written(at, effect):
    """One line: when, and what, in the fewest words that tell."""
    if isinstance(effect, do.Deliver):
        return f"{at / S:.9f} Deliver({effect.channel}: {' '.join(str(event.sequence) for event in effect.events)})"
    if isinstance(effect, do.SendFrame):
        return f"{at / S:.9f} Send({effect.generation}, {effect.frame})"
    return f"{at / S:.9f} {effect}"


def test_the_script_gives_the_same_effects_to_the_letter():
    play = script()
    assert "\n" + "\n".join(written(*line) for line in play.log) + "\n" == TRACE


def test_the_same_inputs_give_the_same_effects():
    assert script().log == script().log
