"""Kept snapshots as sessions: the conversations that begin with one question, as a tree of turns.

A turn is a question and an answer to it. Turns are read off the paths of the entries, so the tree
is whole also where inner snapshots have been evicted.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from server.session.entry import PATH_STEP, Entry
from server.session.keys import Key

_TURN = 2 * PATH_STEP


@dataclass(frozen=True, slots=True)
class SessionTurn:
    """A turn of a session; state: the snapshot at the end of its answer, where one is kept.

    number: from 1. asked: snapshots at the end of its question. answered: false while only the
    question is known. used: when it or a turn behind it was used. leaf: no turn goes on from it.
    """

    path: bytes
    state: Entry | None
    asked: tuple[Entry, ...]
    used: float
    leaf: bool

    @property
    def id(self) -> str:
        return f"turn_{self.path[-PATH_STEP:].hex()}"

    @property
    def number(self) -> int:
        return -(-len(self.path) // _TURN)

    @property
    def answered(self) -> bool:
        return len(self.path) % _TURN == 0

    @property
    def parent(self) -> str | None:
        before = _before(self.path)
        return f"turn_{before[-PATH_STEP:].hex()}" if before else None


class Session:
    """All that is kept of a caller's conversations that begin with one question to one model."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.fingerprint = entries[0].fingerprint
        self._by_path: defaultdict[bytes, list[Entry]] = defaultdict(list)
        for entry in entries:
            self._by_path[entry.path].append(entry)

    @property
    def id(self) -> str:
        return f"sess_{self.entries[0].path[:PATH_STEP].hex()}"

    @property
    def used(self) -> float:
        return max(entry.used for entry in self.entries)

    @property
    def nbytes(self) -> int:
        return sum(entry.nbytes for entry in self.entries)

    @property
    def tokens(self) -> int:
        return max(entry.tokens for entry in self.entries)

    @property
    def pinned(self) -> bool:
        return any(entry.pinned for entry in self.entries)

    @cached_property
    def turns(self) -> Sequence[SessionTurn]:
        """Every turn before those that go on from it."""
        used: dict[bytes, float] = {}
        inner = set[bytes]()
        paths = sorted(self._turn_paths())
        for path in reversed(paths):  # those that go on from it have come before
            before = _before(path)
            inner.add(before)
            used[path] = max(used.get(path, 0.0), self._used_at(path))
            used[before] = max(used.get(before, 0.0), used[path])
        return [self._turn(path, used[path], leaf=path not in inner) for path in paths]

    @property
    def branches(self) -> Sequence[SessionTurn]:
        return [turn for turn in self.turns if turn.leaf]

    @property
    def newest(self) -> SessionTurn:
        """The end of the branch that was used last."""
        return max(self.branches, key=lambda turn: (turn.used, turn.number))

    def line(self, turn: SessionTurn) -> Sequence[SessionTurn]:
        """A turn, and all that it goes on from, the first one first."""
        return [one for one in self.turns if turn.path.startswith(one.path)]

    def behind(self, turn: SessionTurn) -> list[Entry]:
        """Everything that goes on from a turn's answer."""
        path = turn.path
        return [e for e in self.entries if e.path.startswith(path) and len(e.path) > len(path)]

    def _turn_paths(self) -> set[bytes]:
        """Of answers, and of questions that no known answer follows."""
        whole = set[bytes]()
        for path in self._by_path:
            while path and path not in whole:
                if len(path) % _TURN == 0:
                    whole.add(path)
                path = _before(path)  # noqa: PLW2901
        answered = {path[:-PATH_STEP] for path in whole}
        asked = {e.path for e in self.entries if len(e.path) % _TURN and e.path not in answered}
        return whole | asked

    def _used_at(self, path: bytes) -> float:
        here = self._by_path.get(path, []) + self._by_path.get(path[:-PATH_STEP], [])
        return max((entry.used for entry in here), default=0.0)

    def _turn(self, path: bytes, used: float, *, leaf: bool) -> SessionTurn:
        question = path if len(path) % _TURN else path[:-PATH_STEP]
        states = self._by_path.get(path, []) if path != question else []
        asked = self._by_path.get(question, [])
        state = max(states, key=lambda entry: entry.used, default=None)
        return SessionTurn(path, state, tuple(asked), used, leaf)


def sessions_of(entries: Iterable[Entry]) -> list[Session]:
    """The most recently used first."""
    groups: defaultdict[tuple[str, bytes], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.path:
            groups[entry.fingerprint, entry.path[:PATH_STEP]].append(entry)
    return sorted(map(Session, groups.values()), key=lambda session: -session.used)


def with_beginnings(gone: Sequence[Entry], every: Sequence[Entry]) -> list[Key]:
    """The keys of what goes, and of beginnings, such as a system prompt's, that only it had."""
    goes = {entry.key: entry for entry in gone}
    beginnings = {e.key: e for e in every if not e.path and not e.plain}
    rest = [entry for entry in every if entry.key not in goes]
    while True:
        wanted = {entry.parent for entry in rest}
        ends = {entry.parent for entry in goes.values()} & beginnings.keys() - wanted - goes.keys()
        if not ends:
            return list(goes)
        goes |= {key: beginnings[key] for key in ends if key is not None}
        rest = [entry for entry in rest if entry.key not in ends]


def _before(path: bytes) -> bytes:
    """The path of the turn that a turn goes on from."""
    return path[: (len(path) - PATH_STEP) // _TURN * _TURN]
