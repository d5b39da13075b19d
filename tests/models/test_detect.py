"""What is said of a checkpoint from its tensors alone."""

import pytest
import torch
from torch import Tensor

from models.base import CheckpointError
from models.detect import detect
from tests.checkpoints import Sizes, random_rwkv7

TINY = Sizes(layers=2, width=32, head_size=16, ffn_width=56, vocab_size=40, ranks=(8, 8, 4, 8))
ATT = "blocks.1.att."


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    return random_rwkv7(TINY)


def refusal(tensors: dict[str, Tensor]) -> str:
    with pytest.raises(CheckpointError) as caught:
        detect(tensors)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(
    "sizes",
    [
        TINY,
        Sizes(layers=1, width=64, head_size=64, ffn_width=96, vocab_size=11),
        Sizes(layers=12, width=32, head_size=8, ffn_width=128, vocab_size=300),
        Sizes(first_layer_residual=False),
    ],
)
def test_all_sizes_are_read_from_the_tensors(sizes: Sizes) -> None:
    tensors = random_rwkv7(sizes)
    spec = detect(tensors)
    assert (spec.generation, spec.layers, spec.width) == ("7", sizes.layers, sizes.width)
    assert (spec.heads, spec.head_size) == (sizes.width // sizes.head_size, sizes.head_size)
    assert (spec.ffn_width, spec.vocab_size) == (sizes.ffn_width, sizes.vocab_size)
    assert spec.parameters == sum(tensor.numel() for tensor in tensors.values())


def older(generation: str) -> dict[str, Tensor]:
    """The tensor names of an older checkpoint, as far as they tell it from the others."""
    width, heads, size = 32, 2, 16
    vector = torch.zeros(1, 1, width)
    tensors = {
        "emb.weight": torch.zeros(40, width),
        "head.weight": torch.zeros(40, width),
        "blocks.0.ln0.weight": torch.ones(width),
    }
    for i in range(2):
        att, ffn = f"blocks.{i}.att.", f"blocks.{i}.ffn."
        for name in ("key", "value", "receptance", "output"):
            tensors[f"{att}{name}.weight"] = torch.zeros(width, width)
        tensors[ffn + "key.weight"] = torch.zeros(64, width)
        if generation == "6":
            tensors |= {f"{att}time_maa_{letter}": vector for letter in "xwkvrg"}
            tensors[att + "time_decay"] = vector
            tensors[att + "time_faaaa"] = torch.zeros(heads, size)
        else:
            tensors |= {f"{att}time_mix_{letter}": vector for letter in "kvr"}
            per_head = {"4": (width,), "5.2": (heads, size)}.get(generation, (heads,))
            tensors[att + "time_decay"] = torch.zeros(per_head)
            first = "time_faaaa" if generation == "5.2" else "time_first"
            tensors[att + first] = torch.zeros(per_head)
        if generation != "4":
            tensors[att + "ln_x.weight"] = torch.ones(width)
        if generation in {"5.1", "5.2", "6"}:
            tensors[att + "gate.weight"] = torch.zeros(width, width)
    return tensors


@pytest.mark.parametrize(
    ("generation", "named"),
    [
        ("4", "RWKV-4 "),
        ("5.0", "RWKV-5.0 "),
        ("5.1", "RWKV-5.1 "),
        ("5.2", "5.2 "),
        ("6", "RWKV-6 "),
    ],
)
def test_older_generations_are_refused_by_name(generation: str, named: str) -> None:
    message = refusal(older(generation))
    assert named in message
    assert "only RWKV-7" in message


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


def all_names() -> list[str]:
    """Every tensor that the model reads: layer 0 has no use for v0, v1 and v2."""
    return [name for name in random_rwkv7(TINY) if ".0.att.v" not in name[:14] or "value" in name]


@pytest.mark.parametrize("name", all_names())
def test_a_missing_tensor_is_named(name: str, tensors: dict[str, Tensor]) -> None:
    del tensors[name]
    assert f"the tensor {name} is missing" in refusal(tensors)


@pytest.mark.parametrize("name", all_names())
def test_a_tensor_of_the_wrong_size_is_named(name: str, tensors: dict[str, Tensor]) -> None:
    tensors[name] = torch.cat((tensors[name], tensors[name][..., :1]), dim=-1)
    message = refusal(tensors)
    hints = {"emb.weight": "width", "blocks.0.att.r_k": "r_k"}
    if name[-2:] in {"w1", "a1", "v1", "g1"}:
        assert f"{name[:-1]}2 has shape" in message
    elif name == "blocks.0.ffn.key.weight":
        assert f"{name} has shape" in message
    else:
        assert f"{name} has shape" in message or hints.get(name, "?") in message


@pytest.mark.parametrize("name", all_names())
def test_a_tensor_with_a_dimension_too_many_is_refused(
    name: str, tensors: dict[str, Tensor]
) -> None:
    tensors[name] = torch.stack((tensors[name], tensors[name]))
    refusal(tensors)


@pytest.mark.parametrize("name", all_names())
def test_a_tensor_without_dimensions_is_refused(name: str, tensors: dict[str, Tensor]) -> None:
    tensors[name] = torch.tensor(1.0)
    refusal(tensors)


@pytest.mark.parametrize("name", all_names())
def test_a_tensor_without_values_is_refused(name: str, tensors: dict[str, Tensor]) -> None:
    tensors[name] = torch.empty(0)
    refusal(tensors)


@pytest.mark.parametrize(
    "name", [n for n in all_names() if random_rwkv7(TINY)[n].dim() == 2 and "r_k" not in n]
)
def test_a_matrix_that_is_turned_round_is_refused(name: str, tensors: dict[str, Tensor]) -> None:
    if tensors[name].shape[0] != tensors[name].shape[1]:
        tensors[name] = tensors[name].mT.contiguous()
        refusal(tensors)


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
