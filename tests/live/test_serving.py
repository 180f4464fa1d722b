"""`simfabric serve` in a process of its own: what it prints is enough to connect, and Ctrl-C ends it."""

import asyncio
import json
import re
import signal
import subprocess
import sys

import pytest

from simfabric.errors import SimfabricError
from simfabric.live import http
from simfabric.live.serving import serve


def test_what_it_prints_is_enough_to_call_it_and_an_interrupt_ends_it():
    process = subprocess.Popen([sys.executable, "-m", "simfabric", "serve", "--port", "0", "--channels", "3"], stdout=subprocess.PIPE, text=True)
    with process:
        text = "".join(process.stdout.readline() for _ in range(5))
        port = int(re.search(r"calls +http://127\.0\.0\.1:(\d+)\n", text)[1])
        key = re.search(r"key +(\S+)\n", text)[1]
        answer = asyncio.run(http.call("127.0.0.1", port, "GET", "/realtime/bootstrap?user=1", {"Authorization": f"Bearer {key}"}))
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert json.loads(answer.body)["allowedChannels"] == ["c1", "c2", "c3"]
    assert json.loads(answer.body)["wsUrl"] in text
    assert (process.returncode, rest) == (0, "ended\n")


@pytest.mark.parametrize(
    ("arguments", "law"),
    [
        ((70_000, 1), "--port '70000'"),
        ((0, 0), "--channels '0'"),
        ((0, 1, ("localhost:5173",)), "--origin"),
        ((0, 1, ("http://localhost:5173/page",)), "--origin"),
        ((0, 1, ("http://a\r\nb",)), "--origin"),
    ],
)
def test_a_wrong_option_is_an_error_for_people(arguments, law):
    with pytest.raises(SimfabricError, match=f"{law}(.|\n)*cure: "):
        serve(*arguments)


def test_a_port_that_is_taken_is_an_error_for_people():
    async def taken():
        async with await http.start_http(None, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            done = await asyncio.create_subprocess_exec(sys.executable, "-m", "simfabric", "serve", "--port", str(port), stderr=subprocess.PIPE)
            _, error = await done.communicate()
            return done.returncode, port, error.decode()

    code, port, error = asyncio.run(taken())
    assert code == 2
    assert error.startswith(f"--port '{port}': ")
    assert "cure: give another one" in error
