"""A Valkey or Redis that may be away: who asks it then is told so at once."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

PREFIX = "rwkv-server:1"
_TIMEOUT_S = 2.0
_RETRY_S = 2.0  # after which a store that was away is asked again
_DAY_S = 86400


class ValkeyError(Exception):
    """A store that can never be asked; the message is one sentence."""


class Away(Exception):
    """It does not answer now; the message goes on from "it"."""


class Full(Away):
    """It answers, but has no room for what it is sent."""


class Valkey:
    """days: how long something outlives its last use there; 0: for ever.

    Connects when it is first asked, and again whenever a connection was lost; any thread may ask.
    Raises ValkeyError without the package redis, or for an address that is none.
    """

    def __init__(self, url: str, *, days: float = 0.0) -> None:
        try:
            import redis
        except ImportError as error:
            raise ValkeyError(
                "the shared store needs the package redis: pip install 'rwkv-server[redis]'"
            ) from error
        try:
            self.redis: Any = redis.Redis.from_url(
                url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
            )
        except ValueError as error:
            raise ValkeyError("sessions.store_url is no address of a Valkey or Redis") from error
        self._failures: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self._full = redis.exceptions.OutOfMemoryError
        self.ttl_s = int(days * _DAY_S) or None
        self._away_until = 0.0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """A store that does not answer is left alone for a while, so that nobody waits for it.

        Raises Away.
        """
        if time.monotonic() < self._away_until:
            raise Away("is away")
        try:
            yield
        except self._full as error:
            raise Full("is full") from error
        except self._failures as error:
            self._away_until = time.monotonic() + _RETRY_S
            raise Away(f"does not answer: {type(error).__name__}") from error

    def read(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """All of them at once; while asking(). A full store does this too."""
        return self.pipe(commands, whole=False)

    def pipe(self, commands: Iterable[tuple[Any, ...]], *, whole: bool = True) -> list[Any]:
        """All of them at once; whole: and all or none."""
        pipe = self.redis.pipeline(transaction=whole)
        for command in commands:
            pipe.execute_command(*command)
        return list(pipe.execute())

    def close(self) -> None:
        self.redis.close()
