"""uvicorn, with the start and the end that this server promises."""

import asyncio
import logging
import signal
import socket
import sys
from types import FrameType

import uvicorn

from server.app import App, StartError
from server.cli.protocol import Protocol

log = logging.getLogger(__name__)

GRACE_S = 3.0  # that running answers get to end by themselves
_CUT_S = 8.0  # after which connections that still linger are cut
_GIVE_UP_S = 12  # uvicorn's own, which complains of what lingers
_KEEP_ALIVE_S = 65  # longer than the pools of clients and proxies keep a connection unused

# For how long a thread keeps the interpreter while another waits. The engine's needs it several
# times a step, and would wait for Python's own 5 ms each time that the event loop has it.
_TURN_S = 0.0001


class Server(uvicorn.Server):
    """Serves `app` on a bound socket.

    Says "listening on …" once a request would be answered. Told to stop, it takes no new
    connection, lets answers end or ends them with an error they can show, and returns.
    """

    def __init__(self, app: App, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app.api(),
            lifespan="on",
            http=Protocol,
            ws="none",
            log_config=None,
            access_log=False,  # server.api.access has one
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GIVE_UP_S,
        )
        super().__init__(config)
        self._app = app
        self._listener = listener

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal or until `should_exit` is set."""
        usual = sys.getswitchinterval()
        sys.setswitchinterval(_TURN_S)
        try:
            super().run(sockets or [self._listener])
        finally:
            sys.setswitchinterval(usual)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the engine and listen. Raises StartError when the address was lost meanwhile."""
        try:
            await super().startup(sockets)
        except OSError as error:
            raise StartError(f"cannot listen on {self.url}: {error.strerror}.") from error
        log.info("listening on %s", self.url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the address, and the answers under way with the engine.

        What is left after that waits for clients that do not read; they are cut off.
        """
        stopping = asyncio.create_task(self._app.stop(grace_s=GRACE_S))
        cutting = asyncio.get_running_loop().call_later(_CUT_S, self._cut)
        await super().shutdown(sockets)
        cutting.cancel()
        await stopping

    def _cut(self) -> None:
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal ends in order and with exit code 0, a second Ctrl-C at once."""
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    @property
    def url(self) -> str:
        """Where clients reach this server."""
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
