"""Whether both programs compute the same model: float32 weights, the same prompt, greedily.

`python -m tests.bench.llama_cpp.agree FOLDER/0.1b --llama BUILD/bin` reads 0.1b.safetensors and
0.1b-f32.gguf, and prints how many of the tokens that follow a random prompt are the same, and the
largest difference between the logarithms of the likelihoods that both give to the likeliest ids.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import httpx
import torch

from models import loader
from models.backends import Backend
from tests.bench.llama_cpp.theirs import Theirs

PROMPT, ANSWER, ALTERNATIVES = 64, 32, 20
TOLERANCE = 0.01  # of logarithms: both add in float32, in another order

Step = tuple[int, dict[int, float]]  # the token, and logarithms by id


def theirs(model: Path, bin: Path, threads: int, prompt: list[int]) -> list[Step]:
    asked = {
        "prompt": prompt,
        "n_predict": ANSWER,
        "temperature": 0,
        "n_probs": ALTERNATIVES,
        "ignore_eos": True,
    }
    with Theirs(bin, threads).serving(model, 1) as url:
        answer = httpx.post(f"{url}/completion", json=asked, timeout=None, trust_env=False)
    steps: list[dict[str, Any]] = answer.raise_for_status().json()["completion_probabilities"]
    return [(s["id"], {it["id"]: it["logprob"] for it in s["top_logprobs"]}) for s in steps]


def ours(model: Path, prompt: list[int], followed: list[int]) -> list[Step]:
    """The likeliest token after the prompt and each of those that the other program chose."""
    backend = Backend(torch.device("cpu"), torch.float32, "to compare")
    loaded = loader.load(model, backend, "float32")
    state = loaded.new_state(1)
    found = []
    for fed in [prompt, *([token] for token in followed[:-1])]:
        logits = loaded.forward(torch.tensor(fed), [len(fed)], state)[0]
        logarithms = logits.log_softmax(-1).tolist()
        found.append((int(logits.argmax()), dict(enumerate(logarithms))))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("stem", type=Path, help="folder and size, such as weights/0.1b")
    parser.add_argument("--llama", type=Path, required=True, help="folder of llama.cpp's tools")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    generator = torch.Generator().manual_seed(1)
    prompt = torch.randint(1, 65_000, (PROMPT,), generator=generator).tolist()
    other = theirs(Path(f"{given.stem}-f32.gguf"), given.llama, given.threads, prompt)
    own = ours(Path(f"{given.stem}.safetensors"), prompt, [token for token, _ in other])
    same = sum(a == b for (a, _), (b, _) in zip(own, other, strict=True))
    pairs = zip(own, other, strict=True)
    furthest = max(abs(a[i] - b[i]) for (_, a), (_, b) in pairs for i in b)
    print(
        f"{same} of {len(other)} tokens are the same; logarithms differ by {furthest:.1e} at most"
    )
    return 0 if same == len(other) and furthest < TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
