"""What is said of a checkpoint from its tensors alone."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.base import CheckpointError
from models.detect import detect
from tests.checkpoints import Sizes, random_rwkv, random_rwkv4, random_rwkv5, random_rwkv7

TINY = Sizes(layers=2, width=32, head_size=16, ffn_width=56, vocab_size=40, ranks=(8, 8, 4, 8))
ATT = "blocks.1.att."
GENERATIONS = ("4", "5.0", "5.1", "5.2", "6", "7")


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    return random_rwkv7(TINY)


def refusal(tensors: dict[str, Tensor]) -> str:
    with pytest.raises(CheckpointError) as caught:
        detect(tensors)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(
    "sizes",
    [
        TINY,
        Sizes(layers=1, width=64, head_size=64, ffn_width=96, vocab_size=11),
        Sizes(layers=12, width=32, head_size=8, ffn_width=128, vocab_size=300),
        Sizes(bonus="time_first"),
    ],
)
def test_generation_and_sizes_are_read_from_the_tensors(sizes: Sizes, generation: str) -> None:
    tensors = random_rwkv(generation, sizes)
    spec = detect(tensors)
    heads = (sizes.width, 1) if generation == "4" else (sizes.heads, sizes.head_size)
    assert (spec.generation, spec.layers, spec.width) == (generation, sizes.layers, sizes.width)
    assert (spec.heads, spec.head_size) == heads
    assert (spec.ffn_width, spec.vocab_size) == (sizes.ffn_width, sizes.vocab_size)
    assert spec.parameters == sum(tensor.numel() for tensor in tensors.values())


def test_rwkv_7_needs_no_residual_in_its_first_layer() -> None:
    assert detect(random_rwkv7(Sizes(first_layer_residual=False))).layers == 3


def test_a_decay_of_one_column_is_a_decay_by_head() -> None:
    tensors = random_rwkv5("5.1", TINY)
    for i in range(2):
        tensors[f"blocks.{i}.att.time_decay"].unsqueeze_(1)
    assert detect(tensors).generation == "5.1"


def test_rwkv_4a_is_refused_by_name() -> None:
    tensors = random_rwkv4(TINY)
    tensors["blocks.1.tiny_q.weight"] = torch.zeros(8, 32)
    assert "RWKV-4a" in refusal(tensors)


def test_rwkv_7a_is_refused_by_name(tensors: dict[str, Tensor]) -> None:
    tensors["blocks.0.ffn.s_emb.weight"] = torch.zeros(40, 32)
    assert "RWKV-7a" in refusal(tensors)


def test_rwkv_7b_is_refused_by_name(tensors: dict[str, Tensor]) -> None:
    tensors["blocks.0.qkv.weight"] = torch.zeros(96, 32)
    assert "RWKV-7b" in refusal(tensors)


@pytest.mark.parametrize("name", ["_strategy", "_version", "_rescale_layer"])
def test_files_converted_by_the_rwkv_package_are_refused(
    name: str, tensors: dict[str, Tensor]
) -> None:
    tensors[name] = torch.zeros(1)
    assert "give the original checkpoint" in refusal(tensors)


def test_a_checkpoint_of_something_else_is_described() -> None:
    message = refusal({"transformer.wte.weight": torch.zeros(2, 2), "a.bias": torch.zeros(2)})
    assert "not an RWKV checkpoint" in message
    assert "a.bias, transformer.wte.weight" in message


def test_nothing_at_all_is_refused() -> None:
    refusal({})


def test_a_missing_block_is_named(tensors: dict[str, Tensor]) -> None:
    without = {name: t for name, t in tensors.items() if not name.startswith("blocks.0.")}
    assert "found numbers [1]" in refusal(without)


def read_names(generation: str) -> list[str]:
    """Every tensor that the model reads: layer 0 of RWKV-7 has no use for v0, v1 and v2."""
    unused = {f"blocks.0.att.v{i}" for i in range(3)}
    return [name for name in random_rwkv(generation, TINY) if name not in unused]


def refusals(generation: str, damage: Callable[[Tensor], Tensor | None]) -> dict[str, str]:
    """What is said when one tensor is damaged (or gone), for every tensor that is read."""
    tensors, found = random_rwkv(generation, TINY), {}
    for name in read_names(generation):
        damaged = damage(tensors[name])
        others = {other: tensor for other, tensor in tensors.items() if other != name}
        found[name] = refusal(others if damaged is None else others | {name: damaged})
    return found


def missing_is_named(name: str, message: str) -> bool:
    either = name.replace("time_faaaa", "time_first")  # the bonus has two names in RWKV-5
    return any(f"the tensor {it} is missing" in message for it in (name, either))


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_missing_tensor_is_named(generation: str) -> None:
    for name, message in refusals(generation, lambda _: None).items():
        assert missing_is_named(name, message), message


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_tensor_of_the_wrong_size_is_named(generation: str) -> None:
    for name, message in refusals(generation, one_column_more).items():
        # A width or a rank is read from one tensor, so that the ones to match it are named.
        elsewhere = name == "emb.weight" or re.search(r"([wavg]|_w)1$", name)
        assert name in message or (elsewhere and re.search(r"has shape|width", message)), message


def one_column_more(tensor: Tensor) -> Tensor:
    return torch.cat((tensor, tensor[..., :1]), dim=-1)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda tensor: torch.stack((tensor, tensor)),
        lambda _: torch.tensor(1.0),
        lambda _: torch.empty(0),
    ],
    ids=["a dimension too many", "no dimensions", "no values"],
)
def test_a_tensor_of_a_wrong_shape_is_refused(
    generation: str, damage: Callable[[Tensor], Tensor]
) -> None:
    refusals(generation, damage)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_matrix_that_is_turned_round_is_refused(generation: str) -> None:
    tensors = random_rwkv(generation, TINY)
    for name in read_names(generation):
        tensor = tensors[name]
        turned = tensor.transpose(-2, -1).contiguous() if tensor.dim() > 1 else tensor
        is_vector = sorted(tensor.shape)[:-1] == [1] * (tensor.dim() - 1)
        if turned.shape != tensor.shape and not is_vector:
            refusal(tensors | {name: turned})


@pytest.mark.parametrize("name", ["emb.weight", f"{ATT}key.weight", f"{ATT}x_r", "ln_out.bias"])
@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64])
def test_numbers_that_are_no_floats_are_refused(
    name: str, dtype: torch.dtype, tensors: dict[str, Tensor]
) -> None:
    tensors[name] = tensors[name].to(dtype)
    assert f"{name} holds torch." in refusal(tensors)


def test_heads_that_do_not_make_up_the_width_are_refused(tensors: dict[str, Tensor]) -> None:
    for i in range(2):
        tensors[f"blocks.{i}.att.r_k"] = torch.zeros(3, 16)
    assert "3 heads of 16, which is not the embedding width 32" in refusal(tensors)


def test_vectors_may_be_stored_flat(tensors: dict[str, Tensor]) -> None:
    flat = {n: t.flatten() if t.dim() == 3 else t for n, t in tensors.items()}
    assert detect(flat).layers == 2


def test_a_low_rank_may_be_one(tensors: dict[str, Tensor]) -> None:
    tensors[f"{ATT}w1"], tensors[f"{ATT}w2"] = torch.zeros(32, 1), torch.zeros(1, 32)
    assert detect(tensors).layers == 2


def test_a_block_number_that_is_no_number_does_not_count(tensors: dict[str, Tensor]) -> None:
    tensors["blocks.x.att.note"] = torch.zeros(1)
    tensors[f"blocks.{'9' * 5000}.att.note"] = torch.zeros(1)
    assert detect(tensors).layers == 2


def fingerprint(tensors: dict[str, Tensor]) -> str:
    return detect(tensors).fingerprint


def test_the_fingerprint_is_a_function_of_the_tensors(tensors: dict[str, Tensor]) -> None:
    turned = dict(reversed(tensors.items()))
    copies = {name: tensor.clone() for name, tensor in tensors.items()}
    assert fingerprint(tensors) == fingerprint(turned) == fingerprint(copies)


def test_the_fingerprint_does_not_depend_on_strides(tensors: dict[str, Tensor]) -> None:
    strided = {n: t.mT.contiguous().mT if t.dim() == 2 else t for n, t in tensors.items()}
    assert fingerprint(strided) == fingerprint(tensors)


@pytest.mark.parametrize("name", random_rwkv7(TINY))
@pytest.mark.parametrize("place", [0, -1])
def test_one_changed_value_changes_the_fingerprint(
    name: str, place: int, tensors: dict[str, Tensor]
) -> None:
    before = fingerprint(tensors)
    tensors[name].view(-1)[place] += 0.5
    assert fingerprint(tensors) != before


def test_values_everywhere_in_a_big_tensor_enter_the_fingerprint() -> None:
    sizes = Sizes(layers=1, width=64, head_size=64, ffn_width=64, vocab_size=5000)
    tensors = random_rwkv7(sizes)
    before = fingerprint(tensors)
    for start in range(0, 5000, 625):
        changed = tensors | {"emb.weight": tensors["emb.weight"].clone()}
        changed["emb.weight"][start : start + 625] += 0.5
        assert fingerprint(changed) != before, start


def test_the_fingerprint_sees_more_than_one_column_of_a_big_matrix() -> None:
    tensors = random_rwkv7(Sizes(layers=1, width=64, head_size=64, ffn_width=64, vocab_size=8192))
    before = fingerprint(tensors)
    tensors["emb.weight"][:, 1:] += 0.5
    assert fingerprint(tensors) != before


def test_another_number_format_changes_the_fingerprint(tensors: dict[str, Tensor]) -> None:
    half = {name: tensor.half() for name, tensor in tensors.items()}
    assert fingerprint(half) != fingerprint(tensors)


def test_another_shape_of_the_same_values_changes_the_fingerprint(
    tensors: dict[str, Tensor],
) -> None:
    flat = tensors | {f"{ATT}x_r": tensors[f"{ATT}x_r"].flatten()}
    assert fingerprint(flat) != fingerprint(tensors)


def test_an_additional_tensor_changes_the_fingerprint(tensors: dict[str, Tensor]) -> None:
    assert fingerprint(tensors | {"note": torch.zeros(0)}) != fingerprint(tensors)


def test_two_tensors_that_change_places_change_the_fingerprint(tensors: dict[str, Tensor]) -> None:
    one, other = f"{ATT}key.weight", f"{ATT}value.weight"
    swapped = tensors | {one: tensors[other], other: tensors[one]}
    assert fingerprint(swapped) != fingerprint(tensors)
