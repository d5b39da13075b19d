"""What is found without a network: bundled models, paths, and the cache."""

import os
from pathlib import Path

import pytest

from server.hub import BUNDLED, HubError, find, stored
from server.hub.local import repo_folder
from tests.server.hub.standin import Hub

pytestmark = pytest.mark.usefixtures("hub")
NEW = "rwkv7-g1b-1.5b-20260103-ctx8192.pth"
OLD = "rwkv7-g1a-1.5b-20250103-ctx8192.pth"


def put(repo: str, file: str, commit: str = "a" * 40, content: bytes = b"1", age: int = 0) -> Path:
    """A file as other tools leave it in the cache, `age` seconds ago."""
    path = repo_folder(repo) / "snapshots" / commit / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    folder = repo_folder(repo) / "snapshots" / commit
    changed = folder.stat().st_mtime - age
    os.utime(folder, (changed, changed))
    return path


def refusal(name: str) -> str:
    with pytest.raises(HubError) as caught:
        find(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_bundled_model_is_found_by_its_name() -> None:
    assert find("gosling").path == BUNDLED["gosling"]


@pytest.mark.parametrize("name", ["nowhere.pth", "no/where.pth", "/no/where"])
def test_a_path_is_left_to_the_loader_even_if_nothing_is_there(name: str) -> None:
    assert find(name).path == Path(name)


def test_a_path_that_exists_comes_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("me/pirate", "model.pth")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me" / "pirate").mkdir(parents=True)
    assert find("me/pirate").path == Path("me/pirate")


def test_a_short_name_is_the_newest_file_that_is_here() -> None:
    put("BlinkDL/rwkv7-g1", OLD, commit="b" * 40)
    path = put("BlinkDL/rwkv7-g1", NEW, commit="a" * 40, age=100)
    found = find("g1-1.5b")
    assert (found.id, found.path) == ("g1-1.5b", path)


def test_a_file_is_called_as_it_is_without_its_ending() -> None:
    path = put("me/pirate", "model.pth")
    found = find("me/pirate:model.pth")
    assert (found.id, found.path) == ("model", path)
    assert find("me/pirate") == found


def test_the_commit_that_was_asked_for_last_comes_first() -> None:
    newest = put("me/pirate", "model.pth", commit="a" * 40, age=100)
    put("me/pirate", "model.pth", commit="b" * 40)
    (repo_folder("me/pirate") / "refs").mkdir()
    (repo_folder("me/pirate") / "refs" / "main").write_text("a" * 40)
    assert find("me/pirate").path == newest


def test_a_link_whose_content_is_gone_is_not_here() -> None:
    path = put("me/pirate", "model.pth")
    path.unlink()
    path.symlink_to("nothing")
    assert "not in the cache" in refusal("me/pirate:model.pth")


@pytest.mark.parametrize("name", ["g1-1.5b", "me/pirate", "me/pirate:model.pth"])
def test_what_is_not_here_is_refused_with_the_command_that_fetches_it(name: str) -> None:
    assert f"`rwkv-server pull {name}`" in refusal(name)


def test_nothing_is_fetched_by_looking(hub: Hub) -> None:
    refusal("g1-1.5b")
    assert hub.requests == []


def test_a_choice_is_left_to_the_person() -> None:
    put("me/pirate", "a.pth")
    put("me/pirate", "b.pth")
    assert "me/pirate:a.pth, me/pirate:b.pth" in refusal("me/pirate")


def test_everything_that_is_here_is_listed_by_a_name_that_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bundled.safetensors").write_bytes(b"123")
    monkeypatch.setitem(BUNDLED, "gosling", tmp_path)
    put("BlinkDL/rwkv7-g1", OLD)
    put("BlinkDL/rwkv7-g1", NEW)
    put("me/pirate", "model.pth", content=b"12")
    put("me/pirate", "tokenizer.json")
    items = stored()
    assert [(item.name, item.size_bytes) for item in items] == [
        ("gosling", 3),
        ("g1a-1.5b", 1),
        ("g1-1.5b", 1),
        ("me/pirate:model.pth", 2),
    ]
    assert [find(item.name).path for item in items[1:]] == [item.path for item in items[1:]]


def test_an_empty_cache_lists_no_more_than_what_is_bundled() -> None:
    assert {item.repo for item in stored()} <= {None}
