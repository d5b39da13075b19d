"""lm-evaluation-harness through both of its local modes, against scoring the model directly."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models import gosling, loader, tokenizer
from models.backends import select
from models.gosling.greedy import Greedy
from tests.clients.environment import CLIENTS, FOLDER, run

QUESTIONS = [json.loads(line) for line in (FOLDER / "tasks/sums.jsonl").read_text().splitlines()]


def evaluated(out: Path, task: str, *model: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The results of a task and its samples, in the order of the questions."""
    run(
        *(str(CLIENTS / "lm_eval"), "--model", *model, "--tasks", task, "--include_path", "tasks"),
        *("--output_path", str(out), "--log_samples"),
        env={"HF_HOME": str(out / "cache")},
    )
    (results,) = out.rglob("results_*.json")
    (samples,) = out.rglob("samples_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    found = json.loads(results.read_text())["results"][task]
    return found, sorted(rows, key=lambda row: row["doc_id"])


def likelihood(model: Any, encode: Any, prompt: str, answer: str) -> float:
    """Of the answer's tokens behind the prompt's, by one forward of the model."""
    ids = encode(prompt + answer)
    start = len(encode(prompt))
    with torch.inference_mode():
        logits = model.forward(torch.tensor(ids), [len(ids)], model.new_state(1), every=True)
    scores = logits.float().log_softmax(-1)
    return sum(float(scores[i - 1, ids[i]]) for i in range(start, len(ids)))


def test_completions_give_the_likelihoods_of_the_model(url: str, tmp_path: Path) -> None:
    arguments = f"model=gosling,base_url={url}/completions,num_concurrent=4"
    found, samples = evaluated(
        tmp_path, "sums_choice", "local-completions", "--model_args", arguments
    )
    model = loader.load(gosling.PATH, select("cpu"))
    encode = tokenizer.load(gosling.PATH, model.spec.vocab_size).encode
    right = 0
    for question, sample in zip(QUESTIONS, samples, strict=True):
        prompt = f"User: {question['question']}\n\nAssistant:"
        own = [likelihood(model, encode, prompt, choice) for choice in question["choices"]]
        given = [float(answer[0][0]) for answer in sample["resps"]]
        assert given == pytest.approx(own, abs=2e-3)
        right += max(range(3), key=own.__getitem__) == question["answer"]
    assert found["acc,none"] == pytest.approx(right / len(QUESTIONS))
    assert right > len(QUESTIONS) // 2


def test_chats_give_the_answers_of_the_model(url: str, tmp_path: Path) -> None:
    arguments = f"model=gosling,base_url={url}/chat/completions,num_concurrent=4"
    chat = ("local-chat-completions", "--model_args", arguments, "--apply_chat_template")
    found, samples = evaluated(tmp_path, "sums_chat", *chat)
    greedy = Greedy(gosling.PATH, "cpu")
    prompts = [
        [*greedy.encode(f"User: {question['question']}"), *greedy.encode("\n\nAssistant:")]
        for question in QUESTIONS
    ]
    own = [text.strip() for text in greedy(prompts)]
    assert [sample["resps"][0][0].strip() for sample in samples] == own
    right = sum(text == question["target"] for text, question in zip(own, QUESTIONS, strict=True))
    assert found["exact_match,none"] == pytest.approx(right / len(QUESTIONS))
    assert right > len(QUESTIONS) // 2
