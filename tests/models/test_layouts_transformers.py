"""Folders of transformers give the logits of the `.pth` they were made from."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import layouts
from tests.checkpoints import Sizes, random_rwkv
from tests.layouts import from_pth, layout, logits, refusal

SIZES = Sizes(layers=3, width=64, head_size=32, ffn_width=96, vocab_size=64, ranks=(16, 8, 24, 40))

Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def four() -> Tensors:
    return random_rwkv("4", SIZES)


@pytest.fixture(scope="module")
def hf_model(four: Tensors) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other projects' deprecations
        from transformers import RwkvConfig, RwkvForCausalLM

        config = RwkvConfig(
            vocab_size=SIZES.vocab_size,
            hidden_size=SIZES.width,
            intermediate_size=SIZES.ffn_width,
            num_hidden_layers=SIZES.layers,
            rescale_every=2,
        )
        model = RwkvForCausalLM(config)
    model.load_state_dict(layouts.renamed(four, layouts.TRANSFORMERS))
    return model


@pytest.mark.filterwarnings("ignore")  # other projects' deprecations
@pytest.mark.parametrize("shard_size", ["1GB", "40KB"])
def test_a_folder_that_transformers_saved_gives_the_logits_of_the_pth(
    shard_size: str, hf_model: Any, four: Tensors, tmp_path: Path
) -> None:
    folder = tmp_path / "hf"
    hf_model.save_pretrained(folder, max_shard_size=shard_size)
    assert (folder / "model.safetensors.index.json").exists() == (shard_size == "40KB")
    assert layout(folder) == "transformers"
    assert torch.equal(logits(folder), from_pth(four, tmp_path))


@pytest.mark.parametrize("parts", [1, 3])
def test_a_folder_with_pytorch_model_bin_gives_the_logits_of_the_pth(
    parts: int, hf_model: Any, four: Tensors, tmp_path: Path
) -> None:
    folder = tmp_path / "hf"
    layouts.write_shards(hf_model.state_dict(), folder, parts, "pytorch_model", ".bin")
    hf_model.config.save_pretrained(folder)
    assert torch.equal(logits(folder), from_pth(four, tmp_path))


@pytest.mark.parametrize("generation", ["5.0", "5.1", "5.2", "6"])
def test_later_generations_under_the_names_of_transformers_are_read_too(
    generation: str, tmp_path: Path
) -> None:
    tensors = random_rwkv(generation, SIZES)
    stored = layouts.renamed(tensors, layouts.TRANSFORMERS)
    layouts.write_shards(stored, tmp_path / "hf", 1)
    assert torch.equal(logits(tmp_path / "hf"), from_pth(tensors, tmp_path))


def test_the_embedding_is_the_head_where_the_configuration_ties_them(
    four: Tensors, tmp_path: Path
) -> None:
    tied = four | {"head.weight": four["emb.weight"]}
    stored = layouts.renamed(four, layouts.TRANSFORMERS)
    del stored["head.weight"]
    folder = layouts.write_shards(stored, tmp_path / "hf", 1)
    assert "head.weight is missing" in refusal(folder)
    (folder / "config.json").write_text('{"tie_word_embeddings": true}')
    assert torch.equal(logits(folder), from_pth(tied, tmp_path))


def test_another_norm_than_ours_is_refused(four: Tensors, tmp_path: Path) -> None:
    stored = layouts.renamed(four, layouts.TRANSFORMERS)
    folder = layouts.write_shards(stored, tmp_path / "hf", 1)
    (folder / "config.json").write_text('{"layer_norm_epsilon": 0.001}')
    assert "layer_norm_epsilon 0.001, expected 1e-05" in refusal(folder)
