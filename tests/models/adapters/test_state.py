"""Tuned initial states against the reference author's package, which begins with them itself."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models import loader
from models.adapters import initial_state, open_adapter
from models.base import CheckpointError, Model, State
from tests.checkpoints import Sizes, random_rwkv, save
from tests.layouts import web_rwkv
from tests.models import reference
from tests.models.adapters.files import (
    CPU,
    TINY,
    load,
    low_ranks,
    refusal,
    time_states,
)

GENERATIONS = ("5.0", "5.1", "5.2", "6", "7")
TOKENS = torch.randint(1, 320, (40,), generator=torch.Generator().manual_seed(7)).tolist()
SIZES = Sizes()
TOLERANCE = 2e-4


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """By generation, the reference's logits after every token [T,V] from the initial state."""
    found: dict[str, Tensor] = {}
    for seven in (False, True):
        folder = tmp_path_factory.mktemp("checkpoints")
        names = [name for name in GENERATIONS if (name == "7") == seven]
        files = [
            save(random_rwkv(name, SIZES) | time_states(SIZES), folder / f"{name}.pth")
            for name in names
        ]
        answers = reference.ask(files, TOKENS, seven=seven)
        found |= {name: a.logits for name, a in zip(names, answers, strict=True)}
    return found


def feed(model: Model, state: State) -> Tensor:
    """Logits after every token but the first, where rounding alone can move much."""
    rows = [model.forward(torch.tensor([token]), [1], state) for token in TOKENS]
    return torch.cat(rows)[1:]


def difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs[1:]).abs().max())


@pytest.fixture(params=GENERATIONS)
def generation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(generation: str, tmp_path: Path) -> Model:
    return load(save(random_rwkv(generation, SIZES), tmp_path / "model.pth"))


def test_a_conversation_from_a_state_file_is_the_references(
    generation: str, model: Model, expected: dict[str, Tensor], tmp_path: Path
) -> None:
    adapter = open_adapter(save(time_states(SIZES), tmp_path / "state.pth"))
    ours = feed(model, initial_state(adapter, model))
    assert difference(ours, expected[generation]) < TOLERANCE


def test_a_state_that_is_turned_is_another_one(
    generation: str, model: Model, expected: dict[str, Tensor], tmp_path: Path
) -> None:
    turned = {name: tensor.mT for name, tensor in time_states(SIZES).items()}
    adapter = open_adapter(save(turned, tmp_path / "state.pth"))
    ours = feed(model, initial_state(adapter, model))
    assert difference(ours, expected[generation]) > 1000 * TOLERANCE


def test_a_state_file_for_web_rwkv_is_turned_back(
    generation: str, model: Model, expected: dict[str, Tensor], tmp_path: Path
) -> None:
    turned = {name: tensor.mT.contiguous() for name, tensor in time_states(SIZES).items()}
    save_file(turned, tmp_path / "state.st")
    ours = feed(model, initial_state(open_adapter(tmp_path / "state.st"), model))
    assert difference(ours, expected[generation]) < TOLERANCE


def test_a_checkpoint_that_holds_a_state_begins_with_it(
    generation: str, expected: dict[str, Tensor], tmp_path: Path
) -> None:
    tensors = random_rwkv(generation, SIZES) | time_states(SIZES)
    model = load(save(tensors, tmp_path / "model.pth"))
    assert difference(feed(model, model.new_state(1)), expected[generation]) < TOLERANCE


def test_the_state_of_a_checkpoint_serves_as_an_adapter(
    generation: str, model: Model, expected: dict[str, Tensor], tmp_path: Path
) -> None:
    tensors = random_rwkv(generation, SIZES) | time_states(SIZES)
    adapter = open_adapter(save(tensors, tmp_path / "with_state.pth"))
    ours = feed(model, initial_state(adapter, model))
    assert difference(ours, expected[generation]) < TOLERANCE


@pytest.mark.parametrize("generation", ["6", "7"])
def test_a_checkpoint_for_web_rwkv_begins_with_its_state(generation: str, tmp_path: Path) -> None:
    tensors = {
        name: tensor.half().float()
        for name, tensor in (random_rwkv(generation, SIZES) | time_states(SIZES)).items()
    }
    stored = web_rwkv(tensors)
    for name in time_states(SIZES):
        stored[name] = tensors[name].half().mT.contiguous()
    save_file(stored, tmp_path / "model.st")
    one, other = load(tmp_path / "model.st"), load(save(tensors, tmp_path / "model.pth"))
    assert torch.equal(one.new_state(2).wkv, other.new_state(2).wkv)


def test_a_state_adapter_takes_the_place_of_the_checkpoints_own(tmp_path: Path) -> None:
    tensors = random_rwkv("7", TINY)
    plain = load(save(tensors, tmp_path / "plain.pth"))
    tuned = load(save(tensors | time_states(seed=80), tmp_path / "tuned.pth"))
    adapter = open_adapter(save(time_states(), tmp_path / "state.pth"))
    one, other = initial_state(adapter, plain), initial_state(adapter, tuned)
    assert torch.equal(one.wkv, other.wkv)


def test_an_initial_state_stays_float32_in_a_model_of_half_precision(tmp_path: Path) -> None:
    states = time_states()
    path = save(random_rwkv("7", TINY) | states, tmp_path / "model.pth")
    wkv = load(path, "bf16").new_state(3).wkv
    assert all(torch.equal(wkv[i, 2], tensor) for i, tensor in enumerate(states.values()))


def test_token_shift_begins_with_zeros_in_the_models_number_format(tmp_path: Path) -> None:
    model = load(save(random_rwkv("6", TINY), tmp_path / "model.pth"), "fp16")
    state = initial_state(open_adapter(save(time_states(), tmp_path / "state.pth")), model)
    assert (state.batch, state.att_shift.dtype) == (1, torch.float16)
    assert not state.att_shift.any()
    assert not state.ffn_shift.any()


def test_every_initial_state_is_a_copy_of_its_own(tmp_path: Path) -> None:
    model = load(save(random_rwkv("7", TINY), tmp_path / "model.pth"))
    adapter = open_adapter(save(time_states(), tmp_path / "state.pth"))
    one, other = initial_state(adapter, model), initial_state(adapter, model)
    feed_tokens = torch.tensor([1, 2, 3])
    model.forward(feed_tokens, [3], one)
    assert not torch.equal(one.wkv, other.wkv)


MISFITS = {
    "RWKV-4": ("4", time_states, "RWKV-4 has no matrices that a tuned initial state could be"),
    "more layers": (
        "7",
        lambda: time_states(Sizes(layers=3, width=32, head_size=16)),
        "there are initial states of 3 layers, where the model has 2",
    ),
    "fewer layers": (
        "7",
        lambda: time_states(Sizes(layers=1, width=32, head_size=16)),
        "the tensor blocks.1.att.time_state is missing",
    ),
    "another head size": (
        "6",
        lambda: time_states(Sizes(layers=2, width=32, head_size=8)),
        "blocks.0.att.time_state has shape [4, 8, 8], expected [2, 16, 16]",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_state_that_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    kind, make, reason = MISFITS[case]
    model = load(save(random_rwkv(kind, TINY), tmp_path / "model.pth"))
    adapter = open_adapter(save(make(), tmp_path / "state.pth"))
    message = refusal(lambda: initial_state(adapter, model))
    assert message == f"{adapter.path} does not fit the model: {reason}"


@pytest.mark.parametrize("case", ["RWKV-4", "fewer layers", "another head size"])
def test_a_checkpoint_with_a_state_that_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    kind, make, reason = MISFITS[case]
    path = save(random_rwkv(kind, TINY) | make(), tmp_path / "model.pth")
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert str(caught.value) == f"{path} cannot be served: {reason}"


def test_an_adapter_of_another_kind_is_no_initial_state(tmp_path: Path) -> None:
    tensors = random_rwkv("7", TINY)
    model = load(save(tensors, tmp_path / "model.pth"))
    lora = open_adapter(save(low_ranks(tensors), tmp_path / "lora.pth"), alpha=8)
    message = refusal(lambda: initial_state(lora, model))
    assert message == f"{lora.path} is no initial state but lora; merge it"


def test_an_initial_state_is_not_merged_into_weights(tmp_path: Path) -> None:
    path = save(random_rwkv("7", TINY), tmp_path / "model.pth")
    adapter = open_adapter(save(time_states(), tmp_path / "state.pth"))
    message = refusal(lambda: loader.load(path, CPU, adapter=adapter))
    assert message == f"{adapter.path} is an initial state, which is not merged into weights"


def test_a_file_that_changed_since_it_was_opened_is_refused(tmp_path: Path) -> None:
    model = load(save(random_rwkv("7", TINY), tmp_path / "model.pth"))
    path = save(time_states(), tmp_path / "state.pth")
    adapter = open_adapter(path)
    save(time_states(seed=99), path)
    assert "has changed since it was opened" in refusal(lambda: initial_state(adapter, model))
