"""Compiling the library: which compiler, and what is said when it does not work."""

import shutil
from pathlib import Path

import pytest

from models.native import build


@pytest.fixture
def no_compilers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)


def test_the_compiler_that_cxx_names_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "ccache my-c++")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert build.find_compiler() == ["ccache", "my-c++"]


def test_otherwise_the_first_usual_one_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/g++" if name == "g++" else None)
    assert build.find_compiler() == ["g++"]


def test_without_a_compiler_it_is_said_what_to_install(no_compilers: None) -> None:
    with pytest.raises(build.BuildError, match=r"install g\+\+ or clang\+\+, or name one in CXX"):
        build.build()


def test_a_compiler_that_is_not_there_is_named(
    no_compilers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "nonesuch")
    with pytest.raises(build.BuildError, match="nonesuch, which CXX names, was not found"):
        build.build()


def test_a_compiler_that_does_not_know_amx_leaves_it_out(tmp_path: Path) -> None:
    compiler = tmp_path / "old-c++"
    compiler.write_text('#!/bin/sh\ncase "$*" in *amx*) exit 1;; esac\n')
    compiler.chmod(0o755)
    sources = build.sources_for([str(compiler)], "x86_64")
    assert "isa_avx512" in sources
    assert "isa_amx" not in sources
    assert "-DRWKV_AMX" not in sources["library"]


def test_a_failure_leaves_the_library_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "library.cpp").write_text("error here")
    old = tmp_path / build.LIBRARY
    old.write_bytes(b"old")
    with pytest.raises(build.BuildError, match="could not compile the native library"):
        build.build(tmp_path)
    assert old.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == [build.LIBRARY, "src"]


def test_the_library_is_not_older_than_its_sources() -> None:
    sources = list((build.FOLDER / "src").iterdir())
    built = build.FOLDER / build.LIBRARY
    assert built.stat().st_mtime >= max(source.stat().st_mtime for source in sources)
