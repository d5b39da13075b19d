"""`rwkv-server serve`: take the address, load the model, answer until told to stop."""

import gc
import ipaddress
import logging
import socket

from server import log as logs
from server.cli import options
from server.cli.progress import loading
from server.config import ServerSettings, Settings

log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serve a model over HTTP, until told to stop."""
    # torch is behind these, and takes seconds that a wrong flag should not cost.
    from server.app import StartError, build
    from server.cli.server import Server

    logs.configure(settings.log.level, settings.log.format, settings.log.access)
    try:
        with bind(settings.server) as listener:
            _warn_of_strangers(settings.server, listener)
            with loading(settings.model.path) as progress:
                app = build(settings, progress)
            server = Server(app, listener)
            _settle()
            server.run()
    except (StartError, AddressError) as error:
        options.fail(str(error))


def _settle() -> None:
    """What is there before the first request stays, and is not looked through for garbage again.

    torch alone makes so many objects that this would stop all answers for a tenth of a second.
    """
    gc.collect()
    gc.freeze()


class AddressError(Exception):
    """An address that cannot be listened on; the message is one sentence."""


def bind(settings: ServerSettings) -> socket.socket:
    """A socket that holds the address but refuses connections until it is listened on."""
    listener: socket.socket | None = None
    try:
        family, address = _resolve(settings.host, settings.port)
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        reason = error.strerror or str(error)
        raise AddressError(
            f"cannot listen on {settings.host} port {settings.port}: {reason}; "
            "choose another with --host or --port."
        ) from error
    return listener


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A name such as localhost may have addresses of both kinds; clients try IPv4 in any case.
    family, _, _, _, address = min(found, key=lambda item: item[0] != socket.AF_INET)
    return family, address


def _warn_of_strangers(settings: ServerSettings, listener: socket.socket) -> None:
    address = ipaddress.ip_address(listener.getsockname()[0].partition("%")[0])
    if not address.is_loopback and not settings.api_keys:
        log.warning(
            "anyone who reaches %s can use this server and its model: set server.api_keys", address
        )
