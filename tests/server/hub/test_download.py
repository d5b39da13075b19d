"""Pulling from a stand-in hub: whole, interrupted, damaged, refused, and without any hub."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download, scan_cache_dir
from huggingface_hub.utils import WeakFileLock

from server.hub import HubError, SeveralCheckpoints, Unreachable, parse, transfer
from server.hub.download import pull
from server.hub.local import cache_folder, repo_folder
from server.hub.transfer import Report
from tests.server.hub.standin import TOKEN, Hub, Repository

CONTENT = random.Random(0).randbytes(3_000_000)
REPO = "me/pirate"


class Watcher:
    """What was reported: for each file, what was done and how far it came."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], list[tuple[int, int]]] = {}

    @contextmanager
    def __call__(self, verb: str, file: str) -> Iterator[Report]:
        steps = self.seen.setdefault((verb, file), [])
        yield lambda done, total: steps.append((done, total))


def pulled(name: str = REPO, watcher: Watcher | None = None) -> Path:
    reference = parse(name)
    assert reference is not None
    return pull(reference, watcher or Watcher())


def refusal(name: str = REPO) -> str:
    with pytest.raises(HubError) as caught:
        pulled(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def repository(hub: Hub) -> Repository:
    hub.repositories[REPO] = Repository({"README.md": b"hello", "model.pth": CONTENT})
    return hub.repositories[REPO]


def partial() -> Path:
    return repo_folder(REPO) / "blobs" / f"{hashlib.sha256(CONTENT).hexdigest()}.incomplete"


def test_a_pulled_file_is_the_hubs() -> None:
    path = pulled()
    assert path.name == "model.pth"
    assert path.read_bytes() == CONTENT


def test_only_the_listing_and_the_file_are_asked_for(hub: Hub, repository: Repository) -> None:
    pulled()
    assert hub.requests == [
        f"GET /api/models/{REPO}",
        f"GET /{REPO}/resolve/{repository.commit}/model.pth",
    ]


def test_other_tools_find_what_was_pulled(repository: Repository) -> None:
    path = pulled()
    found = hf_hub_download(REPO, "model.pth", local_files_only=True)
    assert Path(found) == path
    (repo,) = scan_cache_dir(constants.HF_HUB_CACHE).repos
    (revision,) = repo.revisions
    assert (repo.repo_id, revision.commit_hash, revision.refs) == (
        *(REPO, repository.commit),
        frozenset({"main"}),
    )


def test_what_other_tools_fetched_is_not_fetched_again(hub: Hub) -> None:
    theirs = hf_hub_download(REPO, "model.pth")
    asked = len(hub.gets)
    assert pulled() == Path(theirs)
    assert len(hub.gets) == asked


def test_progress_is_told_up_to_the_end_for_fetching_and_checking() -> None:
    watcher = Watcher()
    pulled(watcher=watcher)
    assert list(watcher.seen) == [("pulling", "model.pth"), ("checking", "model.pth")]
    for steps in watcher.seen.values():
        assert steps == sorted(steps)
        assert (steps[0][0], steps[-1]) == (0, (len(CONTENT), len(CONTENT)))


def test_a_lost_connection_continues_with_the_rest_only(hub: Hub) -> None:
    hub.cuts = [1_000_000, 500_000]
    assert pulled().read_bytes() == CONTENT
    assert hub.gets == ["model.pth", "model.pth bytes=1000000-", "model.pth bytes=1500000-"]


def test_a_stopped_download_continues_with_the_rest_only(hub: Hub) -> None:
    partial().parent.mkdir(parents=True)
    partial().write_bytes(CONTENT[:2_000_000])
    watcher = Watcher()
    assert pulled(watcher=watcher).read_bytes() == CONTENT
    assert hub.gets == ["model.pth bytes=2000000-"]
    assert watcher.seen["pulling", "model.pth"][0] == (2_000_000, len(CONTENT))
    assert not partial().exists()


def test_a_hub_without_ranges_sends_all_again(hub: Hub) -> None:
    hub.ignores_ranges = True
    hub.cuts = [1_000_000]
    assert pulled().read_bytes() == CONTENT


def test_a_connection_that_brings_nothing_is_given_up_and_what_came_is_kept(hub: Hub) -> None:
    hub.cuts = [1_500_000] + [0] * transfer.TRIES
    assert "continues at 50 %" in refusal()
    assert partial().read_bytes() == CONTENT[:1_500_000]
    assert pulled().read_bytes() == CONTENT


def test_a_damaged_file_is_refused_and_deleted(hub: Hub) -> None:
    hub.damaged = 1
    assert "damaged" in refusal()
    assert [path for path in repo_folder(REPO).rglob("*") if path.is_file()] == []
    assert pulled().read_bytes() == CONTENT


def test_a_damaged_small_file_is_refused_by_gits_checksum(hub: Hub, repository: Repository) -> None:
    repository.files = {"model.pth": b"small"}
    hub.damaged = 1
    assert "damaged" in refusal()


def test_a_stopped_download_that_was_damaged_is_fetched_anew(hub: Hub) -> None:
    partial().parent.mkdir(parents=True)
    partial().write_bytes(b"x" * 2_000_000)
    assert pulled().read_bytes() == CONTENT
    assert hub.gets == ["model.pth bytes=2000000-", "model.pth"]


@pytest.mark.parametrize("damage", [b"", b"x" * len(CONTENT)])
def test_a_file_that_was_damaged_here_is_fetched_anew(hub: Hub, damage: bytes) -> None:
    pulled().resolve().write_bytes(damage)
    assert pulled().read_bytes() == CONTENT
    assert len(hub.gets) == 2


def test_a_file_that_is_here_is_checked_and_not_fetched(hub: Hub) -> None:
    pulled()
    watcher = Watcher()
    pulled(watcher=watcher)
    assert list(watcher.seen) == [("checking", "model.pth")]
    assert len(hub.gets) == 1


def test_a_changed_file_is_fetched_beside_the_old_one(repository: Repository) -> None:
    old = pulled()
    repository.files["model.pth"] = CONTENT[::-1]
    assert pulled().read_bytes() == CONTENT[::-1]
    assert old.read_bytes() == CONTENT


def test_the_tokenizer_beside_the_file_comes_with_it(repository: Repository) -> None:
    repository.files |= {
        "sub/model.pth": CONTENT,
        "sub/tokenizer.json": b"{}",
        "sub/rwkv_vocab_v1.txt": b"1 'a' 1",
        "sub/notes.txt": b"",
        "tokenizer.json": b"[]",
    }
    folder = pulled(f"{REPO}:sub/model.pth").parent
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["model.pth", "rwkv_vocab_v1.txt", "tokenizer.json"]


def test_several_checkpoints_are_left_to_choose_from(repository: Repository) -> None:
    repository.files |= {"b.safetensors": b"12", "a.pth": b"1"}
    with pytest.raises(SeveralCheckpoints, match=r"pull me/pirate:a\.pth") as caught:
        pulled()
    assert caught.value.files == {"a.pth": 1, "b.safetensors": 2, "model.pth": len(CONTENT)}


def test_a_short_name_is_the_newest_file_of_the_official_line(hub: Hub) -> None:
    names = [f"rwkv7-g1{v}-1.5b-2026010{d}-ctx8192.pth" for v, d in (("a", 1), ("b", 3), ("c", 2))]
    hub.repositories["BlinkDL/rwkv7-g1"] = Repository({name: name.encode() for name in names})
    assert pulled("g1-1.5b").name == names[1]


def test_a_size_that_was_never_released_is_refused_with_those_that_were(hub: Hub) -> None:
    files = {f"rwkv7-g1a-{size}-20260101-ctx8192.pth": b"" for size in ("2.9b", "0.1b")}
    hub.repositories["BlinkDL/rwkv7-g1"] = Repository(files)
    assert "it has g1-0.1b, g1-2.9b" in refusal("g1-5b")


def test_an_unknown_repository_is_refused_by_its_name() -> None:
    assert "no repository me/nothing" in refusal("me/nothing")


def test_an_unknown_file_is_refused_with_those_that_are_there() -> None:
    said = refusal(f"{REPO}:other.pth")
    assert "no file other.pth" in said
    assert "model.pth" in said


def test_a_repository_without_a_checkpoint_is_refused(repository: Repository) -> None:
    repository.files = {"config.json": b"{}", "model-00001-of-00002.safetensors": b"1"}
    assert "holds no .pth or .safetensors file" in refusal()


def test_a_name_that_the_hub_cannot_have_is_refused() -> None:
    assert "cannot be the name" in refusal("me/pi--rate")


def test_a_gated_repository_is_refused_and_the_way_in_is_told(
    hub: Hub, repository: Repository
) -> None:
    repository.gated = True
    said = refusal()
    assert f"{hub.url}/{REPO}" in said
    assert "HF_TOKEN" in said


def test_a_token_lets_in(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.gated = True
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert pulled().read_bytes() == CONTENT


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_hub_in_trouble_is_said_to_be(hub: Hub, status: int) -> None:
    hub.status = status
    assert f"status {status}" in refusal()


def test_what_is_no_hub_is_said_to_be_none(hub: Hub) -> None:
    hub.status = 200
    assert "does not answer as a hub" in refusal()


@pytest.mark.parametrize("name", ["../../x.pth", "/tmp/x.pth"])
def test_a_file_cannot_leave_the_cache(repository: Repository, name: str) -> None:
    repository.files[name] = b"1"
    assert "does not answer as a hub" in refusal(f"{REPO}:{name}")


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub answers."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


@pytest.mark.usefixtures("nowhere")
def test_without_a_network_it_is_refused_with_the_address() -> None:
    assert "cannot reach http://127.0.0.1:9" in refusal()


def test_without_a_network_what_is_here_will_do(request: pytest.FixtureRequest) -> None:
    path = pulled()
    request.getfixturevalue("nowhere")
    assert pulled() == path


def test_offline_nothing_is_asked_and_what_is_here_will_do(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pulled()
    asked = len(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert pulled() == path
    with pytest.raises(Unreachable, match="HF_HUB_OFFLINE"):
        pulled("me/other")
    assert len(hub.requests) == asked


def test_a_disk_too_small_is_said_before_anything_is_fetched(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: usage)
    said = refusal()
    assert "3,000,000 bytes needed, 1,000 free" in said
    assert hub.gets == []


def test_a_cache_that_cannot_be_written_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    assert "cannot write to" in refusal()


def test_two_processes_do_not_fetch_the_same_file() -> None:
    lock = f"{hashlib.sha256(CONTENT).hexdigest()}.lock"
    folder = cache_folder() / ".locks" / repo_folder(REPO).name
    folder.mkdir(parents=True)
    with WeakFileLock(folder / lock):
        assert "another process" in refusal()
