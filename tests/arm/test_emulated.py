"""The native library on ARM, in an emulator, beside its slow twins."""

import subprocess
from pathlib import Path

import pytest
import torch

from models.native.build import find_compiler
from tests.arm.emulated import COMPILER, NEWEST, PLAIN, Emulated, compiled, emulate
from tests.checkpoints import Sizes
from tests.models.native.agreement import check_prompts_and_a_step, expected_of
from tests.models.native.twins import DTYPES, GENERATIONS, USUAL, amid_others, tensors_of, twin

ISAS = "neon", "portable"
ODD = Sizes(layers=2, width=144, head_size=48, ffn_width=100, vocab_size=41, ranks=(5, 7, 1, 9))
SHAPES = {"usual": USUAL, "odd": ODD}

every_generation = pytest.mark.parametrize("generation", GENERATIONS)
every_format = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("arm"), COMPILER, "aarch64")


def test_a_processor_takes_neon_if_it_has_dot_products(programs: Path) -> None:
    assert emulate(programs / "step", processor=NEWEST) == "neon portable\n"
    assert emulate(programs / "step", processor=PLAIN) == "portable\n"


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", SHAPES)
@every_format
@every_generation
def test_logits_and_state_agree_with_the_twin(
    generation: str, dtype: torch.dtype, shape: str, isa: str, programs: Path, tmp_path: Path
) -> None:
    sizes = SHAPES[shape]
    model = Emulated(programs, tmp_path, tensors_of(generation, sizes), dtype, isa, 1)
    exact = expected_of(twin(generation, sizes, dtype, isa))
    check_prompts_and_a_step(model, exact, isa, dtype)


@pytest.mark.parametrize("isa", ISAS)
@every_format
@every_generation
def test_neighbours_and_threads_change_no_bit(
    generation: str, dtype: torch.dtype, isa: str, programs: Path, tmp_path: Path
) -> None:
    tensors = tensors_of(generation, ODD)
    alone = amid_others(Emulated(programs, tmp_path, tensors, dtype, isa, 1), 0, 0)
    found = amid_others(Emulated(programs, tmp_path, tensors, dtype, isa, 3), 2, 40)
    assert all(torch.equal(a, b) for a, b in zip(found, alone, strict=True))


@pytest.mark.parametrize("processor", [PLAIN, NEWEST])
def test_the_same_tokens_are_chosen_as_on_this_machine(
    processor: str, programs: Path, tmp_path: Path
) -> None:
    here = compiled(tmp_path, " ".join(find_compiler())) / "exercise_sampling"
    said = subprocess.run([here], capture_output=True, text=True, check=True).stdout
    assert len(said.split()) > 100
    assert emulate(programs / "exercise_sampling", processor=processor) == said
