"""/v1/batches: the OpenAI SDK against a real server with a real, if random, model."""

import threading
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from server.app import App
from tests.server.api.files.asking import CHAT, ended, entries, hello, request, run, upload
from tests.server.api.test_sdk import ENDLESS, eventually
from tests.server.tiny import checkpoint, served


def test_a_batch_answers_what_the_api_answers(client: OpenAI) -> None:
    requests = [request(f"r{seed}", hello(seed=seed)) for seed in range(5)]
    batch = run(client, *requests, metadata={"for": "me"})
    assert batch.status == "validating"
    batch = ended(client, batch)
    assert batch.status == "completed"
    assert batch.request_counts.model_dump() == {"completed": 5, "failed": 0, "total": 5}
    assert (batch.metadata, batch.model, batch.error_file_id) == ({"for": "me"}, "tiny", None)
    assert batch.usage.output_tokens > 0
    found = entries(client, batch.output_file_id)
    for seed in range(5):
        response = found[f"r{seed}"]["response"]
        assert response["status_code"] == 200
        assert response["request_id"]
        direct: Any = client.chat.completions.create(model="tiny", **hello(seed=seed))
        text = response["body"]["choices"][0]["message"]["content"]
        assert text == direct.choices[0].message.content


def test_the_time_limit_of_a_request_is_none_of_a_batch(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    with (
        served(path, server__request_timeout_s=0.01) as (url, _),
        OpenAI(base_url=f"{url}/v1", api_key="key") as client,
    ):
        long = hello(max_tokens=100, logit_bias={"0": -100})
        batch = ended(client, run(client, request("a", long)))
        assert batch.usage.output_tokens == 100


@pytest.mark.parametrize(
    ("endpoint", "body", "kind"),
    [
        ("/v1/completions", {"prompt": "Hi", "max_tokens": 2}, "text_completion"),
        ("/v1/responses", {"input": "Hi", "max_output_tokens": 2}, "response"),
        ("/v1/embeddings", {"input": ["Hi", "Ho"]}, "list"),
    ],
)
def test_other_endpoints_have_batches_too(
    client: OpenAI, endpoint: Any, body: dict[str, Any], kind: str
) -> None:
    batch = ended(client, run(client, request("a", body, endpoint), endpoint=endpoint))
    assert entries(client, batch.output_file_id)["a"]["response"]["body"]["object"] == kind


def test_responses_of_a_batch_are_stored_and_counted(client: OpenAI, stranger: OpenAI) -> None:
    given = request("a", {"input": "Hi", "max_output_tokens": 2}, "/v1/responses")
    batch = ended(client, run(client, given, endpoint="/v1/responses"))
    answer = entries(client, batch.output_file_id)["a"]["response"]["body"]
    found = client.responses.retrieve(answer["id"])
    assert found.to_dict() == answer
    assert found.usage is not None
    assert (
        batch.usage.to_dict().items()
        >= {
            "input_tokens": found.usage.input_tokens,
            "output_tokens": 2,
            "total_tokens": found.usage.total_tokens,
        }.items()
    )
    with pytest.raises(NotFoundError):
        stranger.responses.retrieve(answer["id"])


@pytest.mark.parametrize("field", ["stream", "background"])
def test_a_request_of_a_batch_is_neither_streamed_nor_in_the_background(
    client: OpenAI, field: str
) -> None:
    given = request("a", {"input": "Hi", field: True}, "/v1/responses")
    batch = ended(client, run(client, given, endpoint="/v1/responses"))
    assert batch.status == "failed"
    (error,) = batch.errors.data
    assert (error.code, error.param) == ("invalid_value", f"body.{field}")


def test_mistakes_of_single_requests_are_in_the_error_file(client: OpenAI) -> None:
    batch = ended(
        client, run(client, request("good", hello()), request("bad", hello(temperature=3)))
    )
    assert batch.request_counts.model_dump() == {"completed": 1, "failed": 1, "total": 2}
    (bad,) = entries(client, batch.error_file_id).values()
    assert bad["custom_id"] == "bad"
    assert bad["response"]["status_code"] == 400
    assert bad["response"]["body"]["error"]["param"] == "temperature"


def test_a_file_with_a_broken_line_fails_as_a_whole(client: OpenAI) -> None:
    batch = ended(client, run(client, request("a", hello()), request("a", hello())))
    assert batch.status == "failed"
    (error,) = batch.errors.data
    assert (error.code, error.line) == ("duplicate_custom_id", 2)


def test_batches_come_in_pages(client: OpenAI) -> None:
    ids = [ended(client, run(client, request("a", hello()))).id for _ in range(3)]
    assert [batch.id for batch in client.batches.list(limit=2)][:3] == ids[::-1]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"input_file_id": "file-1"}, "input_file_id"),
        ({"completion_window": "1h"}, "completion_window"),
    ],
)
def test_a_batch_with_a_mistake_is_refused(
    client: OpenAI, fields: dict[str, Any], param: str
) -> None:
    file = upload(client, request("a", hello()))
    good = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    with pytest.raises(BadRequestError) as refused:
        client.batches.create(**good | fields)
    assert refused.value.param == param


def test_a_batch_makes_nobody_wait_and_can_be_cancelled(client: OpenAI, app: App) -> None:
    batch = run(client, *(request(f"r{number}", hello(**ENDLESS)) for number in range(6)))
    assert eventually(lambda: app.catalogue.in_flight == 2)
    answers: list[Any] = []

    def ask() -> None:
        answers.append(client.chat.completions.create(model="tiny", **hello()))  # type: ignore

    asking = [threading.Thread(target=ask) for _ in range(3)]  # slots and queue
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert len(answers) == 3
    assert client.batches.cancel(batch.id).status == "cancelling"
    batch = ended(client, batch)
    assert (batch.status, batch.request_counts.failed) == ("cancelled", 6)
    assert eventually(lambda: app.catalogue.in_flight == 0)
