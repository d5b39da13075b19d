"""Word lists as data: comma-separated text files beside this module."""

from functools import cache
from importlib.resources import files


@cache
def entries(name: str) -> tuple[str, ...]:
    """The entries of `name`.txt, in file order."""
    text = files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    found = (entry.strip() for entry in text.replace("\n", ",").split(","))
    return tuple(entry for entry in found if entry)


@cache
def real_values() -> frozenset[str]:
    """Real names and towns, lower case, that no training dialogue may contain."""
    return frozenset(value.lower() for value in entries("real_first_names") + entries("real_towns"))
