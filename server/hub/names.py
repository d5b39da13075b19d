"""What a person calls a checkpoint: `owner/repository`, `owner/repository:file`, or a short name.

Short names stand for the official G1 line. Its files are called
`rwkv7-g1{letter}{number}-{size}-{YYYYMMDD}-ctx{N}.pth`, letter and number being the version of the
training data; either may be missing, and previews have a suffix, as in `g1i_preview3260`. `g1-1.5b`
is the newest release of that size, `g1a4-1.5b` the newest of that version.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

SUFFIXES = (".pth", ".safetensors")
_G1 = "BlinkDL/rwkv7-g1"
_SHORT = re.compile(r"g1(?P<version>[a-z0-9_]*)-(?P<size>\d+(\.\d+)?b)")
_OFFICIAL = re.compile(
    r"rwkv7-g1(?P<version>[a-z0-9_]*)-(?P<size>\d+(\.\d+)?b)-(?P<date>\d{8})-ctx(?P<context>\d+)\.pth",
    re.IGNORECASE,
)
_RELEASE = re.compile(r"(?P<letter>[a-z]?)(?P<number>\d*)")
_WORD = r"[A-Za-z0-9][\w.-]*"
_FULL = re.compile(rf"(?P<repo>{_WORD}/{_WORD})(:(?P<file>[^:]+))?")
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.")


@dataclass(frozen=True, slots=True)
class _Release:
    """An official file. version: what follows "g1", lower case; date: YYYYMMDD."""

    file: str
    version: str
    size: str
    date: str
    context: int

    @property
    def order(self) -> tuple[str, str, int, int, str]:
        """Later is newer: by date, then letter, then number; a preview is older than all."""
        match = _RELEASE.fullmatch(self.version)
        if match is None:
            return (self.date, "", -1, self.context, self.version)
        return (self.date, match["letter"], int(match["number"] or 0), self.context, "")


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository, and a file of it or the size and version to choose one by.

    name: as it was typed. short: it is a short name, whose `version` may be empty.
    """

    name: str
    repo: str
    file: str | None = None
    size: str = ""
    version: str = ""

    @property
    def short(self) -> bool:
        return bool(self.size)

    def choose(self, files: Iterable[str]) -> list[str]:
        """The files it may mean: one, several for a bare repository, or none."""
        if self.file is not None:
            return [file for file in files if file == self.file]
        if self.short:
            return _newest(file for file in releases(files) if self._means(file))
        return sorted(file for file in files if is_checkpoint(file))

    def _means(self, release: _Release) -> bool:
        if release.size != self.size:
            return False
        if self.version:
            return release.version == self.version
        return _RELEASE.fullmatch(release.version) is not None


def parse(text: str) -> Reference | None:
    """What `text` refers to; None when it can only be a path."""
    if match := _SHORT.fullmatch(text.lower()):
        return Reference(text, _G1, size=match["size"], version=match["version"])
    match = _FULL.fullmatch(text)
    if match is None or match["repo"].endswith(SUFFIXES):
        return None
    return Reference(text, match["repo"], match["file"])


def is_checkpoint(file: str) -> bool:
    """A file that is a model by itself, not one of the pieces of a large one."""
    return file.endswith(SUFFIXES) and not _SHARD.search(file)


def releases(files: Iterable[str]) -> list[_Release]:
    """The official files among `files`."""
    matches = ((file, _OFFICIAL.fullmatch(PurePosixPath(file).name)) for file in files)
    return [
        _Release(
            file,
            match["version"].lower(),
            match["size"].lower(),
            match["date"],
            int(match["context"]),
        )
        for file, match in matches
        if match
    ]


def _newest(found: Iterable[_Release]) -> list[str]:
    ordered = sorted(found, key=lambda release: release.order)
    return [ordered[-1].file] if ordered else []


def shortest(repo: str, file: str, files: Sequence[str]) -> str:
    """The shortest name that means `file` among `files`, which are those of `repo`."""
    if repo == _G1:
        for release in releases([file]):
            for version in ("", release.version):
                short = parse(f"g1{version}-{release.size}")
                if short and short.choose(files) == [file]:
                    return short.name
    return f"{repo}:{file}"


def offered(files: Iterable[str]) -> list[str]:
    """The short names that the files of the official line give, smallest first."""
    sizes = {release.size for release in releases(files) if _RELEASE.fullmatch(release.version)}
    return [f"g1-{size}" for size in sorted(sizes, key=lambda size: float(size.rstrip("b")))]


def size_text(count: int) -> str:
    """A number of bytes as people say it: 3055062272 → "3.06 GB"."""
    for unit, power in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= power:
            return f"{count / power:.3g} {unit}"
    return f"{count} B"
