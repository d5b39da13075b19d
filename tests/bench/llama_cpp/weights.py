"""The same random weights for both programs: a checkpoint, and GGUF files of its very tensors.

`python -m tests.bench.llama_cpp.weights 0.1b FOLDER --quantize BUILD/bin/llama-quantize` writes

    0.1b.safetensors            what rwkv-server loads, bf16
    0.1b-f32.gguf               every tensor as it is, to compare logits; with --exact only
    0.1b-f16.gguf               as llama.cpp's converter writes it (conversion/rwkv.py)
    0.1b-q8_0.gguf, -q4_0.gguf  made of it by llama-quantize; the head of q4_0 is Q6_K, its default
    0.1b-q4_0-q8_0.gguf         and with the head of rwkv-server's int4: eight bits
"""

import argparse
import subprocess
from pathlib import Path

import gguf
from gguf import GGMLQuantizationType as Kind
from gguf import LlamaFileType, TokenType
from safetensors.torch import load_file
from torch import Tensor

from models import random_weights
from models.random_weights import HEAD_SIZE, SIZES, VOCAB_SIZE, Size
from models.tokenizer.world import world_entries
from tests import layouts

END = 0  # of a text, in World
# What the converter leaves in float32, beside everything of one dimension.
EXACT = ("time_mix_w1.", "time_mix_w2.", "lerp_fused.")
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}User: {% else %}Assistant: {% endif %}"
    "{{ message['content'] }}\n\n"
    "{% endfor %}Assistant:"
)


def write(shape: str, folder: Path, quantize: Path, *, exact: bool) -> None:
    """All files of one size."""
    checkpoint = random_weights.write(SIZES[shape], folder / f"{shape}.safetensors")
    if exact:
        write_gguf(checkpoint, SIZES[shape], folder / f"{shape}-f32.gguf", Kind.F32)
    half = write_gguf(checkpoint, SIZES[shape], folder / f"{shape}-f16.gguf", Kind.F16)
    recipes = {"q8_0": ["q8_0"], "q4_0": ["q4_0"], "q4_0-q8_0": ["q4_0"]}
    for name, arguments in recipes.items():
        head = ["--output-tensor-type", "q8_0"] if name == "q4_0-q8_0" else []
        made = folder / f"{shape}-{name}.gguf"
        subprocess.run([quantize, *head, half, made, *arguments], check=True, capture_output=True)


def write_gguf(checkpoint: Path, size: Size, path: Path, kind: Kind) -> Path:
    """kind: of the matrices that the converter does not leave in float32."""
    writer = gguf.GGUFWriter(path, "rwkv7")
    _add_sizes(
        writer, size, LlamaFileType.ALL_F32 if kind == Kind.F32 else LlamaFileType.MOSTLY_F16
    )
    _add_vocabulary(writer)
    official = {name: tensor.float() for name, tensor in load_file(checkpoint).items()}
    for name, tensor in layouts.ggml(official, "rwkv7").items():
        chosen = kind if _is_matrix(name, tensor) else Kind.F32
        writer.add_tensor(name, gguf.quants.quantize(tensor.numpy(), chosen), raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _is_matrix(name: str, tensor: Tensor) -> bool:
    return tensor.dim() == 2 and not any(part in name for part in EXACT)


def _add_sizes(writer: gguf.GGUFWriter, size: Size, file_type: LlamaFileType) -> None:
    decay, rate, residual, gate = size.ranks
    writer.add_context_length(1 << 20)
    writer.add_embedding_length(size.width)
    writer.add_block_count(size.layers)
    writer.add_feed_forward_length(4 * size.width)
    writer.add_layer_norm_eps(1e-5)
    writer.add_wkv_head_size(HEAD_SIZE)
    writer.add_decay_lora_rank(decay)
    writer.add_iclr_lora_rank(rate)
    writer.add_value_residual_mix_lora_rank(residual)
    writer.add_gate_lora_rank(gate)
    writer.add_head_count(0)
    writer.add_file_type(file_type)


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    """World: every token as Python writes its bytes, without the quotes."""
    entries = world_entries()
    last = max(entries)
    tokens = ["<s>", *(repr(entries[i])[2:-1] for i in range(1, last + 1))]
    kinds = [TokenType.CONTROL, *[TokenType.NORMAL] * last]
    padding = range(len(tokens), VOCAB_SIZE)
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list([*tokens, *(f"[PAD{i}]" for i in padding)])
    writer.add_token_types([*kinds, *[TokenType.UNUSED] * len(padding)])
    writer.add_bos_token_id(END)
    writer.add_eos_token_id(END)
    writer.add_chat_template(TEMPLATE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shape", choices=sorted(SIZES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quantize", type=Path, required=True, help="llama-quantize")
    parser.add_argument("--exact", action="store_true", help="write float32 too")
    given = parser.parse_args()
    write(given.shape, given.folder, given.quantize, exact=given.exact)


if __name__ == "__main__":
    main()
