"""Names: what they refer to, and which of the official files a short one means."""

import pytest

from server.hub.names import offered, parse, shortest, size_text

G1 = "BlinkDL/rwkv7-g1"
FILES = [
    "rwkv7-g1-0.1b-20250307-ctx4096.pth",
    "rwkv7-g1-1.5b-20250429-ctx4096.pth",
    "rwkv7-g1a-1.5b-20250922-ctx4096.pth",
    "rwkv7-g1a2-1.5b-20251005-ctx4096.pth",
    "rwkv7-g1a4-2.9b-20251101-ctx8192.pth",
    "rwkv7-g1b-1.5b-20251202-ctx8192.pth",
    "rwkv7-g1c-1.5b-20260110-ctx8192.pth",
    "rwkv7-g1d-1.5b-20260110-ctx8192.pth",
    "rwkv7-g1i_preview3260-7.2b-20260801-ctx10240.pth",
    "rwkv7-g1i_preview9-1.5b-20270101-ctx10240.pth",
    "rwkv7-g1d-13.3b-20260131-ctx8192.pth",
    "old/rwkv7-g1a-0.4b-20250905-ctx4096.pth",
    "README.md",
]


def chosen(name: str, files: list[str] = FILES) -> list[str]:
    reference = parse(name)
    assert reference is not None
    return reference.choose(files)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("g1-0.1b", "rwkv7-g1-0.1b-20250307-ctx4096.pth"),
        ("g1-1.5b", "rwkv7-g1d-1.5b-20260110-ctx8192.pth"),
        ("G1-1.5B", "rwkv7-g1d-1.5b-20260110-ctx8192.pth"),
        ("g1a-1.5b", "rwkv7-g1a-1.5b-20250922-ctx4096.pth"),
        ("g1a4-2.9b", "rwkv7-g1a4-2.9b-20251101-ctx8192.pth"),
        ("g1-2.9b", "rwkv7-g1a4-2.9b-20251101-ctx8192.pth"),
        ("g1-13.3b", "rwkv7-g1d-13.3b-20260131-ctx8192.pth"),
        ("g1i_preview3260-7.2b", "rwkv7-g1i_preview3260-7.2b-20260801-ctx10240.pth"),
        ("g1-0.4b", "old/rwkv7-g1a-0.4b-20250905-ctx4096.pth"),
    ],
)
def test_a_short_name_is_the_newest_file_of_its_size_and_version(name: str, file: str) -> None:
    assert chosen(name) == [file]


def test_a_preview_is_taken_only_when_it_is_named() -> None:
    assert chosen("g1-7.2b") == []


def test_a_higher_number_is_newer_on_the_same_day() -> None:
    files = [f"rwkv7-g1a{n}-1.5b-20260101-ctx4096.pth" for n in ("10", "", "9")]
    assert chosen("g1-1.5b", files) == [files[0]]


def test_a_short_name_stands_for_the_official_repository() -> None:
    reference = parse("g1-1.5b")
    assert reference is not None
    assert (reference.repo, reference.short) == (G1, True)


def test_a_repository_may_name_its_file() -> None:
    reference = parse("me/pirate:sub/model.pth")
    assert reference is not None
    assert (reference.repo, reference.file) == ("me/pirate", "sub/model.pth")


def test_a_repository_alone_means_any_checkpoint_that_is_whole() -> None:
    files = ["b.safetensors", "a.pth", "model-00001-of-00002.safetensors", "config.json"]
    assert chosen("me/pirate", files) == ["a.pth", "b.safetensors"]


@pytest.mark.parametrize(
    "path",
    [
        "gosling",
        "x.pth",
        "./a/b",
        "../b",
        "/a/b",
        "models/x.pth",
        "a/b/c",
        "g1",
        "g1-big",
        "",
        "a/",
    ],
)
def test_what_can_only_be_a_path_refers_to_nothing(path: str) -> None:
    assert parse(path) is None


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("rwkv7-g1d-1.5b-20260110-ctx8192.pth", "g1-1.5b"),
        ("rwkv7-g1a-1.5b-20250922-ctx4096.pth", "g1a-1.5b"),
        ("rwkv7-g1i_preview3260-7.2b-20260801-ctx10240.pth", "g1i_preview3260-7.2b"),
        ("README.md", f"{G1}:README.md"),
    ],
)
def test_the_shortest_name_of_a_file_means_that_file(file: str, name: str) -> None:
    assert shortest(G1, file, FILES) == name
    assert chosen(name) == [file]


def test_a_file_of_others_has_no_short_name() -> None:
    assert shortest("me/copy", FILES[0], FILES) == f"me/copy:{FILES[0]}"


def test_the_offered_names_are_the_sizes_that_were_released() -> None:
    assert offered(FILES) == ["g1-0.1b", "g1-0.4b", "g1-1.5b", "g1-2.9b", "g1-13.3b"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(7, "7 B"), (1500, "1.5 kB"), (3_055_062_272, "3.06 GB"), (26_500_000_000, "26.5 GB")],
)
def test_sizes_are_said_in_decimal_units(count: int, text: str) -> None:
    assert size_text(count) == text
