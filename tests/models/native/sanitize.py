"""`make sanitize`: the native library under the compiler's sanitizers, by the exercises.

Finds reads and writes out of bounds, undefined behaviour and races between threads, at every
instruction set that runs here. Ends with an error at the first finding.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from models.native import build

SANITIZERS = ("address,undefined", "thread")
EXERCISES = ("exercise_trie.cpp", "exercise_sampling.cpp", "exercise.cpp")


def main() -> None:
    for sanitizers in SANITIZERS:
        with tempfile.TemporaryDirectory() as temporary:
            run(Path(temporary), sanitizers)


def run(folder: Path, sanitizers: str) -> None:
    shutil.copytree(build.FOLDER / "src", folder / "src")
    flags = ["-g", "-O1", f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"]
    library = build.build(folder, tuple(flags))
    compiler = [*build.find_compiler(), "-std=c++17", "-pthread", *flags]
    linked = [str(library), f"-Wl,-rpath,{folder}"]
    for name in EXERCISES:
        source, program = Path(__file__).with_name(name), folder / Path(name).stem
        subprocess.run([*compiler, str(source), *linked, "-o", str(program)], check=True)
        subprocess.run([str(program)], check=True)


if __name__ == "__main__":
    main()
