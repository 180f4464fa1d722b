"""Serving: the `serve` command. A gateway in memory for the holder of a key, on this machine, until it is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from importlib.util import find_spec

from simfabric.errors import SimfabricError

PORTS = (0, 65534)  # The calls are served on the port after the websockets'; 0 = any two that are free.
CHANNELS = (1, 1000)


def serve(port: int, channels: int, origins: tuple[str, ...] = ()) -> None:
    """Serve channels c1, c2, … until Ctrl-C; errors are for people."""
    if find_spec("websockets") is None:
        raise SimfabricError("serve: websockets is not installed\n    cure: pip install 'simfabric[live]'")
    for name, value, (least, most) in (("--port", port, PORTS), ("--channels", channels, CHANNELS)):
        if not least <= value <= most:
            raise SimfabricError(
                f"{name} '{value}': must be a whole number within {least} … {most}\n    cure: give one such as {8765 if name == '--port' else 10}"
            )
    for origin in origins:
        if not origin.startswith(("http://", "https://")) or origin.count("/") != 2 or not origin.isprintable():
            raise SimfabricError("--origin: must be a scheme, a name and a port, as browsers send it\n    cure: give one such as http://localhost:5173")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(port, channels, origins))
    sys.stdout.write("ended\n")


async def _serve(port: int, channels: int, origins: tuple[str, ...]) -> None:
    from simfabric.live.backend import Backend
    from simfabric.live.clock import LoopClock
    from simfabric.live.gateway import Gateway
    from simfabric.live.server import Server

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Not on Windows: there KeyboardInterrupt comes.
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    backend = Backend(tuple(range(1, channels + 1)))
    server = Server(Gateway.of(backend), LoopClock(), port=port, origins=origins)
    try:
        await server.start()
    except OSError as error:
        raise SimfabricError(f"--port '{port}': {error.strerror or error}\n    cure: give another one; it and the next must be free") from error
    try:
        calls = f"http://{server.host}:{server.api_port}"
        sys.stdout.write(
            f"channels c1 … c{channels}, users 0 … 999, on this machine only; Ctrl-C ends it\n"
            f"  websockets  ws://{server.host}:{server.port}/realtime/ws\n"
            f"  calls       {calls}\n"
            f"  key         {server.access}\n"
            f'  try         curl -H "Authorization: Bearer {server.access}" "{calls}/realtime/bootstrap?user=1"\n'
        )
        sys.stdout.flush()
        await stop.wait()
    finally:
        await server.stop()
