"""How much of a tier may be pinned, so that what is being said always finds room beside it."""

from dataclasses import dataclass

_SHARE = 2  # half of it


@dataclass(frozen=True, slots=True)
class Pins:
    """In bytes of one tier: what is pinned by all callers, what would be added, and its budget.

    budget: 0 where nobody has set one.
    """

    tier: str
    pinned: int
    added: int
    budget: int

    @property
    def most(self) -> int:
        return self.budget // _SHARE

    @property
    def fit(self) -> bool:
        return not self.budget or self.pinned + self.added <= self.most
