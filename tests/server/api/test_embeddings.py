"""POST /v1/embeddings: the OpenAI SDK against a real server with a real, if random, model."""

import base64
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from openai import APITimeoutError, BadRequestError, NotFoundError, OpenAI

from models import loader
from models.backends import select
from models.embedding import embedding
from models.tokenizer import load as load_tokenizer
from server.app import App
from tests.server.api.test_sdk import eventually
from tests.server.tiny import checkpoint, served

TEXT = "Hello, the user said é🙂"
IDS = [41, 70, 304, 292, 83, 70, 222]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def serving(path: Path) -> Iterator[tuple[str, App]]:
    with served(path, model__dtype="float32", engine__max_slots=2, engine__max_queue=1) as both:
        yield both


def vectors(client: OpenAI, given: Any, **fields: Any) -> list[list[float]]:
    answer = client.embeddings.create(model="tiny", input=given, **fields)
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return [item.embedding for item in answer.data]


def test_a_vector_is_that_of_the_state_after_the_text(client: OpenAI, path: Path) -> None:
    model = loader.load(path, select("cpu", threads=1), "float32")
    ids = load_tokenizer(str(path.parent / "tokenizer.json"), 512).encode(TEXT)
    state = model.new_state(1)
    model.forward(torch.tensor(ids), [len(ids)], state)
    (ours,) = vectors(client, TEXT)
    assert np.allclose(ours, embedding(state).numpy(), atol=1e-5)


def test_texts_and_ids_are_the_same_thing(client: OpenAI, path: Path) -> None:
    ids = load_tokenizer(str(path.parent / "tokenizer.json"), 512).encode(TEXT)
    forms = [[TEXT], ids, [ids]]
    first, *others = [vectors(client, form)[0] for form in forms]
    assert all(np.allclose(first, other, atol=1e-6) for other in others)


def test_both_formats_carry_the_same_numbers(serving: tuple[str, App]) -> None:
    answers = [
        httpx.post(
            f"{serving[0]}/v1/embeddings",
            json={"model": "tiny", "input": IDS, "encoding_format": kind},
        ).json()["data"][0]["embedding"]
        for kind in ("float", "base64")
    ]
    assert np.array_equal(
        np.float32(answers[0]), np.frombuffer(base64.b64decode(answers[1]), "<f4")
    )


def test_fewer_dimensions_are_the_first_ones_made_longer(client: OpenAI) -> None:
    (whole,), (part,) = vectors(client, IDS), vectors(client, IDS, dimensions=100)
    expected = np.array(whole[:100]) / np.linalg.norm(whole[:100])
    assert np.allclose(part, expected, atol=1e-6)
    assert math.isclose(np.linalg.norm(part), 1, abs_tol=1e-5)


def test_more_inputs_than_slots_and_queue_come_in_order(client: OpenAI) -> None:
    texts = [f"Text number {number}." for number in range(20)]
    together = vectors(client, texts)
    assert np.allclose(together[13], vectors(client, texts[13])[0], atol=1e-5)
    assert len({tuple(vector) for vector in together}) == 20


def test_usage_counts_the_tokens_of_all_inputs(client: OpenAI) -> None:
    usage = client.embeddings.create(model="tiny", input=[IDS, IDS[:3]]).usage
    assert (usage.prompt_tokens, usage.total_tokens) == (10, 10)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["good", ""]}, "input.1"),
        ({"input": [512]}, "input.0"),
        ({"input": [[1], [512]]}, "input.1.0"),
        ({"input": None}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 1025}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"extra_body": {"normalize": False}}, "normalize"),
    ],
)
def test_a_mistake_is_named(client: OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.embeddings.create(**({"model": "tiny", "input": IDS} | fields))
    assert refused.value.param == param


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(NotFoundError):
        client.embeddings.create(model="text-embedding-3-small", input=TEXT)


def test_a_client_that_leaves_frees_its_slots(client: OpenAI, serving: tuple[str, App]) -> None:
    with pytest.raises(APITimeoutError):
        client.embeddings.create(model="tiny", input=["x" * 100_000] * 4, timeout=0.3)
    assert eventually(lambda: serving[1].catalogue.in_flight == 0)


def test_a_request_whose_time_is_up_is_an_error_worth_another_try(path: Path) -> None:
    with served(path, server__request_timeout_s=0.2) as (url, app):
        body = {"model": "tiny", "input": ["x" * 100_000] * 4}
        response = httpx.post(f"{url}/v1/embeddings", json=body, timeout=30)
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "timeout"
        assert response.headers["retry-after"]
        assert eventually(lambda: app.catalogue.in_flight == 0)
