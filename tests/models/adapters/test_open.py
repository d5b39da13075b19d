"""What kind a file is of, what it is refused for, and what makes two of them differ."""

from pathlib import Path

import pytest
import torch

from models.adapters import open_adapter
from tests.checkpoints import random_rwkv, save
from tests.models.adapters.files import (
    TINY,
    Tensors,
    low_ranks,
    random,
    refusal,
    time_states,
)
from tests.models.test_files import Marking

LORA = low_ranks(random_rwkv("7", TINY))
START = low_ranks(random_rwkv("7", TINY), kind="init_")
DISHA = {"blocks.0.att.key.disha": random(4, 32)}
STATES = time_states()
A, B = "blocks.0.att.key.lora_A", "blocks.0.att.key.lora_B"


@pytest.fixture
def start(tmp_path: Path) -> Path:
    return save(START, tmp_path / "init_pissa.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_kind_is_told_by_the_names_and_by_what_is_given(
    suffix: str, start: Path, tmp_path: Path
) -> None:
    def kind(tensors: Tensors, **options: object) -> str:
        path = save(tensors, tmp_path / f"adapter{suffix}")
        return open_adapter(path, **options).kind  # type: ignore[arg-type]

    assert kind(STATES) == "state"
    assert kind(LORA, alpha=16) == "lora"
    assert kind(LORA, initial=start) == "pissa"
    assert kind(DISHA) == "disha"
    assert kind(DISHA | {"blocks.0.ln1.weight": random(32)}) == "disha"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_files_of_every_number_format_are_opened(dtype: torch.dtype, tmp_path: Path) -> None:
    assert open_adapter(save(STATES, tmp_path / "state.pth", dtype)).kind == "state"


REFUSED: dict[str, tuple[Tensors, dict[str, object], str]] = {
    "a lora without alpha": (
        LORA,
        {},
        "{path} holds low ranks, whose weight is not in the file: give alpha for LoRA, "
        "or init_pissa.pth as initial for PiSSA",
    ),
    "alpha and initial": (
        LORA,
        {"alpha": 8, "initial": "init_pissa.pth"},
        "{path} is given both alpha (LoRA) and initial (PiSSA); leave one out",
    ),
    "alpha of nothing": (
        LORA,
        {"alpha": 0},
        "alpha is 0 for {path}, expected a number above 0",
    ),
    "alpha that is no number": (
        LORA,
        {"alpha": float("nan")},
        "alpha is nan for {path}, expected a number above 0",
    ),
    "alpha of a state": (
        STATES,
        {"alpha": 8},
        "{path} is a tuned initial state, which has no use for alpha; leave it out",
    ),
    "initial of a disha": (
        DISHA,
        {"initial": "init_pissa.pth"},
        "{path} is DiSHA, which has no use for initial; leave it out",
    ),
    "the beginning of a pissa alone": (
        START,
        {},
        "{path} is what PiSSA began with; give the trained file, and this one as initial",
    ),
    "two kinds": (
        LORA | DISHA,
        {"alpha": 8},
        "{path} mixes disha and lora; give each its own adapter file",
    ),
    "a state beside replaced tensors": (
        STATES | {"blocks.0.ln1.weight": random(32)},
        {},
        "{path} mixes state and whole; give each its own adapter file",
    ),
    "nothing but replaced tensors": (
        {"blocks.0.att.x_r": random(32)},
        {},
        "{path} only replaces tensors, as a checkpoint does; serve that",
    ),
    "names of another program": (
        {"base_model.model.blocks.0.att.key.lora_A.weight": random(4, 32)},
        {"alpha": 8},
        "{path} is no adapter that is known here: "
        "it holds base_model.model.blocks.0.att.key.lora_A.weight",
    ),
    "unknown parts of a lora": (
        LORA | {"blocks.0.att.key.lora_E": random(4)},
        {"alpha": 8},
        "{path} is no adapter that is known here: it holds blocks.0.att.key.lora_E",
    ),
    "half a pair": (
        {A: LORA[A]},
        {"alpha": 8},
        "{path} has only one of blocks.0.att.key.lora_A and lora_B",
    ),
    "two ranks": (
        LORA | {B: random(32, 5)},
        {"alpha": 8},
        "{path} has blocks.0.att.key.lora_A with shape [4, 32] and lora_B with [32, 5], "
        "which are no two low ranks",
    ),
    "vectors": (
        {A: random(32), B: random(32)},
        {"alpha": 8},
        "{path} has blocks.0.att.key.lora_A with shape [32] and lora_B with [32], "
        "which are no two low ranks",
    ),
    "rank zero": (
        {A: torch.zeros(0, 32), B: torch.zeros(32, 0)},
        {"alpha": 8},
        "{path} has blocks.0.att.key.lora_A with shape [0, 32] and lora_B with [32, 0], "
        "which are no two low ranks",
    ),
    "no numbers": (
        STATES | {"blocks.0.att.time_state": torch.full((2, 16, 16), float("nan"))},
        {},
        "{path} holds a blocks.0.att.time_state that is not made of finite numbers",
    ),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused(case: str, suffix: str, start: Path) -> None:
    tensors, options, message = REFUSED[case]
    path = save(tensors, start.parent / f"adapter{suffix}")
    given = options | ({"initial": start} if "initial" in options else {})
    said = refusal(lambda: open_adapter(path, **given))  # type: ignore[arg-type]
    assert said == message.format(path=path)


def test_numbers_that_are_no_floats_are_refused(tmp_path: Path) -> None:
    torch.save({name: tensor.int() for name, tensor in STATES.items()}, tmp_path / "ints.pth")
    message = refusal(lambda: open_adapter(tmp_path / "ints.pth"))
    assert "that is not made of finite numbers" in message


STARTS: dict[str, tuple[Tensors, str]] = {
    "another lora": (LORA, "is not what PiSSA began with: it lacks init_lora_A"),
    "of fewer matrices": (
        {n: t for n, t in START.items() if "blocks.1.ffn.value" not in n},
        "lacks blocks.1.ffn.value, which",
    ),
    "half a pair": (
        {n: t for n, t in START.items() if n != "blocks.0.att.key.init_lora_B"},
        "has only one of blocks.0.att.key.init_lora_A and init_lora_B",
    ),
}


@pytest.mark.parametrize("case", STARTS)
def test_a_beginning_of_another_training_is_refused(case: str, tmp_path: Path) -> None:
    tensors, message = STARTS[case]
    start = save(tensors, tmp_path / "init_pissa.pth")
    path = save(LORA, tmp_path / "pissa.pth")
    assert f"{start} {message}" in refusal(lambda: open_adapter(path, initial=start))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent.pth"
    assert refusal(lambda: open_adapter(path)) == f"there is no adapter at {path}"


def test_a_missing_beginning_is_named(tmp_path: Path) -> None:
    path, start = save(LORA, tmp_path / "pissa.pth"), tmp_path / "absent.pth"
    message = refusal(lambda: open_adapter(path, initial=start))
    assert message == f"there is no adapter at {start}"


def test_a_checkpoint_without_a_state_is_no_adapter(tmp_path: Path) -> None:
    path = save(random_rwkv("7", TINY), tmp_path / "model.pth")
    assert "only replaces tensors" in refusal(lambda: open_adapter(path))


@pytest.mark.parametrize("damage", ["code", "cut", "noise", "name"])
def test_damaged_and_hostile_files_are_refused(damage: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "state.pth"
    torch.save(STATES | ({"evil": Marking(marker)} if damage == "code" else {}), path)
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    if damage == "noise":
        path.write_bytes(b"\x80\x02}q\x00." * 100)
    if damage == "name":
        path = path.rename(tmp_path / "state.onnx")
    assert str(path) in refusal(lambda: open_adapter(path))
    assert not marker.exists()


@pytest.mark.parametrize("name", ["blocks.0.att.x_r", "blocks.0.att.time_mix_k", "emb.weight"])
def test_renamed_tensors_beside_a_lora_of_web_rwkv_are_refused(name: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    lora = {"blocks.0.att.key.lora.0": random(32, 4), "blocks.0.att.key.lora.1": random(32, 4)}
    save_file(lora | {name: random(32)}, tmp_path / "lora.st")
    message = refusal(lambda: open_adapter(tmp_path / "lora.st", alpha=8))
    assert f"holds {name}, which is not read from adapters in .st" in message


@pytest.mark.parametrize("name", ["blocks.0.att.time_state", "blocks.0.att.key.lora.0"])
def test_vectors_where_web_rwkv_has_matrices_are_refused_where_they_matter(
    name: str, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    save_file({name: random(32)}, tmp_path / "odd.st")
    if "lora" in name:
        assert "only one of" in refusal(lambda: open_adapter(tmp_path / "odd.st", alpha=8))
    else:
        assert open_adapter(tmp_path / "odd.st").kind == "state"


def test_fingerprints_differ_with_every_value_and_option(tmp_path: Path) -> None:
    def fingerprint(tensors: Tensors, start: Tensors | None = None, **options: float) -> str:
        path = save(tensors, tmp_path / "adapter.pth")
        initial = None if start is None else save(start, tmp_path / "init_pissa.pth")
        return open_adapter(path, initial=initial, **options).fingerprint

    changed = {name: tensor.clone() for name, tensor in LORA.items()}
    changed[B][17, 3] += 0.01
    begun = {name: tensor.clone() for name, tensor in START.items()}
    begun["blocks.1.att.key.init_lora_A"][2, 5] += 0.01
    found = [
        fingerprint(LORA, alpha=8),
        fingerprint(LORA, alpha=9),
        fingerprint(changed, alpha=8),
        fingerprint(LORA, START),
        fingerprint(LORA, begun),
        fingerprint(STATES),
        fingerprint(time_states(seed=6)),
    ]
    assert len(set(found)) == len(found)


def test_the_fingerprint_does_not_depend_on_the_name_of_the_file(tmp_path: Path) -> None:
    one, other = save(STATES, tmp_path / "one.pth"), save(STATES, tmp_path / "two.safetensors")
    assert open_adapter(one).fingerprint == open_adapter(other).fingerprint
