"""A home of the archive and how it is doing: what fails there is counted, and warned of once."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from server.session.home import Home, HomeError, News, Watched

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class Counts:
    """Of one tier since the start."""

    writes: int = 0
    reads: int = 0
    errors: int = 0


@dataclass(slots=True)
class Place:
    home: Home
    counts: Counts = field(default_factory=Counts)
    failing: bool = False

    def ask(self, ask: Callable[[Home], T]) -> T | None:
        """None where it cannot answer."""
        try:
            return ask(self.home)
        except HomeError as error:
            self._fails(error)
        except Exception:
            self._breaks()
        return None

    def do(self, do: Callable[[Home], None]) -> bool:
        """False where it cannot."""
        try:
            do(self.home)
        except HomeError as error:
            self._fails(error)
        except Exception:
            self._breaks()
        else:
            return True
        return False

    def wrote(self, count: int) -> None:
        self.counts.writes += count
        if self.failing:
            self.failing = False
            log.info("the %s archive works again", self.home.tier)

    @property
    def watched(self) -> bool:
        """Other servers change it as well."""
        return isinstance(self.home, Watched)

    def news(self) -> News:
        """What they have done since it was last asked."""
        if isinstance(self.home, Watched):
            with suppress(HomeError):  # which is told of when something is written
                return self.home.news()
        return News()

    def follow(self, news: News) -> None:
        """Do the same here."""
        if not self.watched:
            self.do(lambda home: home.delete(news.gone))
            for key in news.unpinned:
                self.do(lambda home, key=key: home.pin(key, False))  # type: ignore[misc]

    def _fails(self, error: HomeError) -> None:
        self.counts.errors += 1
        if not self.failing:
            self.failing = True
            log.warning(
                "conversations are kept without the %s archive for now: it %s",
                *(self.home.tier, error),
            )

    def _breaks(self) -> None:
        self.counts.errors += 1
        log.exception("the %s archive broke", self.home.tier)
