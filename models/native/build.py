"""Compiles the native library into this folder: `python -m models.native.build`.

The package's build does the same (hatch_build.py), so this file needs nothing but the standard
library and a C++17 compiler: CXX, c++, g++ or clang++. Each instruction set is compiled in a file
of its own; which one runs is decided when the library is loaded.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
LIBRARY = "librwkv.so"

# No -ffast-math: it would reorder sums, and switch denormal numbers off for the whole process.
_FLAGS = [
    *("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-pthread"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
]
_COMMON = ("library", "generations", "pool", "tensors", "trie", "isa_portable")
# The same bits everywhere: no product may be fused with a sum.
_EXACT = ("draw", "pack", "sample", "score", "vocabulary")
_AVX512 = [
    *(f"-mavx512{part}" for part in ("f", "bw", "dq", "vl", "vnni", "bf16")),
    *("-mavx2", "-mfma", "-mprefer-vector-width=512"),
]
_AMX = [f"-mamx-{part}" for part in ("tile", "int8", "bf16")]
_BY_MACHINE = {
    "x86_64": {"isa_avx2": ["-mavx2", "-mfma"], "isa_avx512": _AVX512},
    "aarch64": {"isa_neon": ["-march=armv8.2-a+dotprod"]},
}
_ALIASES = {"amd64": "x86_64", "arm64": "aarch64"}


class BuildError(RuntimeError):
    """The library could not be compiled; the message is one sentence."""


def build(folder: Path = FOLDER, extra: tuple[str, ...] = (), machine: str = "") -> Path:
    """Compile the sources of `folder`/src into `folder`, with `extra` flags. Raises BuildError.

    machine: what CXX compiles for, where that is not this one.
    """
    compiler = find_compiler()
    machine = (machine or platform.machine()).lower()
    sources = sources_for(compiler, machine)
    target = folder / LIBRARY
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        made = Path(temporary)

        def compile_one(name: str) -> Path:
            source, unit = folder / "src" / f"{name}.cpp", made / f"{name}.o"
            flags = [*_FLAGS, *sources[name], *extra]
            _run([*compiler, *flags, "-c", str(source), "-o", str(unit)])
            return unit

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            units = [str(unit) for unit in pool.map(compile_one, sources)]
        linked = made / LIBRARY
        _run([*compiler, "-shared", "-pthread", *extra, *units, "-o", str(linked)])
        linked.replace(target)  # at once, so that who loads it sees the old one or the new one
    return target


def sources_for(compiler: list[str], machine: str) -> dict[str, list[str]]:
    """What is compiled for a machine as platform names it, and with which flags of its own."""
    sources: dict[str, list[str]] = {name: [] for name in _COMMON}
    # Packed weights and chosen tokens are the same on every processor.
    sources |= {name: ["-ffp-contract=off"] for name in _EXACT}
    sources |= _BY_MACHINE.get(_ALIASES.get(machine, machine), {})
    if "isa_avx512" in sources and _has_tiles(compiler):
        sources |= {"isa_amx": [*_AVX512, *_AMX], "library": ["-DRWKV_AMX"]}
    return sources


def find_compiler() -> list[str]:
    """The command of CXX, else the first of the usual names that is there."""
    named = shlex.split(os.environ.get("CXX", ""))
    for command in [named] if named else [["c++"], ["g++"], ["clang++"]]:
        if shutil.which(command[0]):
            return command
    raise BuildError(
        f"the C++ compiler {named[0]}, which CXX names, was not found"
        if named
        else "no C++ compiler was found: install g++ or clang++, or name one in CXX"
    )


def _has_tiles(compiler: list[str]) -> bool:
    """Whether the compiler knows AMX, and the system, Linux, has a way to ask for it."""
    if sys.platform != "linux":
        return False
    command = [*compiler, *_AMX, "-E", "-x", "c++", os.devnull]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = next((x for x in done.stderr.splitlines() if "error" in x), done.stderr[-300:])
        raise BuildError(f"{command[0]} could not compile the native library: {said.strip()}")


if __name__ == "__main__":
    try:
        build(extra=tuple(sys.argv[1:]))
    except BuildError as error:
        sys.exit(f"{error}")
