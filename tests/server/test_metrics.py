"""GET /metrics of a real server: its figures after known work, its form, and its labels."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from server.metrics import Metrics
from tests.server.several import configured, folder_of_all
from tests.server.tiny import checkpoint, served, serving

PATIENCE_S = 20
ENDLESS = {"0": -100}  # the id that ends an answer is never drawn
FORCED = 7
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
Labels = dict[str, str]


class Seen:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self.samples = [sample for family in prometheus(text) for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Of the only sample of this name that has these labels; 0 if there is none."""
        found = self.all(name, **labels)
        assert len(found) < 2
        return found[0].value if found else 0

    def total(self, name: str, **labels: str) -> float:
        return sum(sample.value for sample in self.all(name, **labels))

    def all(self, name: str, **labels: str) -> list[Any]:
        return [
            sample
            for sample in self.samples
            if sample.name == f"rwkv_server_{name}" and labels.items() <= sample.labels.items()
        ]

    def label_values(self, label: str) -> set[str]:
        return {sample.labels[label] for sample in self.samples if label in sample.labels}


class Client(httpx.Client):
    """Asks a server of little models."""

    def scrape(self) -> Seen:
        return Seen(self.get("/metrics").raise_for_status().text)

    def chat(self, *texts: str, **fields: Any) -> httpx.Response:
        """The user's and the model's texts in turn."""
        messages = [
            {"role": "assistant" if number % 2 else "user", "content": text}
            for number, text in enumerate(texts)
        ]
        return self.post(CHAT, json=body(messages=messages) | fields)

    def until(self, true: Callable[[Seen], bool]) -> Seen:
        end = time.monotonic() + PATIENCE_S
        while not true(seen := self.scrape()):
            assert time.monotonic() < end
            time.sleep(0.01)
        return seen


def body(**fields: Any) -> dict[str, Any]:
    defaults = {"model": "tiny", "temperature": 0, "max_tokens": 6, "logit_bias": ENDLESS}
    return defaults | fields


def text_of(response: httpx.Response) -> str:
    return str(response.json()["choices"][0]["message"]["content"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("tiny"))


@contextmanager
def client_of(model: Path, **overrides: object) -> Iterator[Client]:
    with served(model, **overrides) as (url, _), Client(base_url=url) as client:
        yield client


@pytest.fixture
def client(model: Path) -> Iterator[Client]:
    with client_of(model) as client:
        yield client


def two_turns(client: Client) -> list[dict[str, Any]]:
    """The usage of both."""
    first = client.chat("Hello")
    second = client.chat("Hello", text_of(first), "And again?")
    return [first.json()["usage"], second.json()["usage"]]


def test_prompt_tokens_add_up_to_what_usage_says(client: Client) -> None:
    used = two_turns(client)
    cached = sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in used)
    read = sum(usage["prompt_tokens"] for usage in used)
    seen = client.scrape()
    assert cached > 0
    assert seen.value("prompt_tokens_total", model="tiny", kind="cached") == cached
    assert seen.value("prompt_tokens_total", model="tiny", kind="computed") == read - cached


def test_every_token_of_an_answer_is_counted_and_timed_once(client: Client) -> None:
    two_turns(client)
    seen = client.scrape()
    assert seen.value("generated_tokens_total", model="tiny") == 12
    assert seen.value("time_to_first_token_seconds_count", model="tiny") == 2
    assert seen.value("inter_token_latency_seconds_count", model="tiny") == 10


def test_steps_have_fed_what_was_computed_and_generated(client: Client) -> None:
    two_turns(client)
    seen = client.scrape()
    computed = seen.value("prompt_tokens_total", kind="computed")
    steps = seen.value("step_duration_seconds_count", model="tiny")
    assert seen.value("step_tokens_sum", model="tiny") == computed + 12
    assert seen.value("step_tokens_count", model="tiny") == steps
    assert seen.value("step_sequences_sum", model="tiny") == steps  # one answer at a time
    assert seen.value("step_duration_seconds_sum", model="tiny") > 0


def test_answers_are_counted_by_what_ended_them(client: Client) -> None:
    client.chat("Hello", n=2)
    forced = {"logit_bias": {str(FORCED): 100}, "stop_token_ids": [FORCED]}
    client.post(TEXT, json=body(prompt=["a", "b", "c"]) | forced).raise_for_status()
    seen = client.scrape()
    found = {s.labels["finish_reason"]: s.value for s in seen.all("answers_total", model="tiny")}
    assert found == {"length": 2, "stop": 3, "cancelled": 0, "failed": 0}


def test_a_token_that_ends_an_answer_is_its_first_token(client: Client) -> None:
    forced = {"logit_bias": {str(FORCED): 100}, "stop_token_ids": [FORCED]}
    client.post(TEXT, json=body(prompt="a") | forced).raise_for_status()
    seen = client.scrape()
    assert seen.value("generated_tokens_total", model="tiny") == 1
    assert seen.value("time_to_first_token_seconds_count", model="tiny") == 1


def test_gauges_tell_slots_queue_and_answers_under_way(model: Path) -> None:
    endless = body(prompt="a", max_tokens=10**6, stream=True)
    with client_of(model, engine__max_slots=1, engine__max_queue=1) as client:
        with client.stream("POST", TEXT, json=endless):
            # Headers come with the first event, which the second answer has to wait for.
            seen = client.until(lambda seen: seen.value("slots_used") == 1)
            assert seen.value("answers_in_flight", model="tiny") == 1
            assert seen.value("answers_waiting", model="tiny") == 0
            assert seen.value("slots", model="tiny") == 1
            refused = client.post(TEXT, json=body(prompt=["a", "b"]))
            assert refused.status_code == 429
            assert client.scrape().value("errors_total", type="rate_limit_error") == 1
        seen = client.until(lambda seen: seen.value("answers_in_flight") == 0)
        assert seen.value("slots_used", model="tiny") == 0
        assert seen.value("answers_total", finish_reason="cancelled") == 1


def test_an_answer_without_a_slot_is_waiting(model: Path) -> None:
    endless = body(prompt="a", max_tokens=10**6, stream=True, n=2)
    with (
        client_of(model, engine__max_slots=1, engine__max_queue=1) as client,
        client.stream("POST", TEXT, json=endless),
    ):
        seen = client.until(lambda seen: seen.value("slots_used") == 1)
        assert seen.value("answers_in_flight", model="tiny") == 2
        assert seen.value("answers_waiting", model="tiny") == 1


def test_requests_are_counted_by_documented_route_and_status(client: Client) -> None:
    client.get("/v1/models/tiny")
    client.get("/v1/models/other")
    client.get("/nowhere")
    client.post(CHAT, json=body())
    seen = client.scrape()
    found = {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for sample in seen.all("http_requests_total")
    }
    assert found == {
        ("/v1/models/{model}", "200"): 1,
        ("/v1/models/{model}", "404"): 1,
        ("none", "404"): 1,
        (CHAT, "400"): 1,
    }
    assert seen.total("http_request_duration_seconds_count") == 4


def test_errors_are_counted_by_type_and_code(client: Client) -> None:
    client.get("/v1/models/other")
    client.post(CHAT, json=body())
    seen = client.scrape()
    found = {s.labels["code"]: (s.labels["type"], s.value) for s in seen.all("errors_total")}
    assert found == {
        "model_not_found": ("invalid_request_error", 1),
        "missing_parameter": ("invalid_request_error", 1),
    }


def test_a_model_that_is_not_served_makes_no_label(client: Client) -> None:
    for name in ("other", "tiny/2", "tiny:mood"):
        assert client.chat("Hello", model=name).status_code == 404
        assert client.get(f"/v1/models/{name}").status_code == 404
    seen = client.scrape()
    assert seen.label_values("model") == {"tiny"}
    assert seen.label_values("id") == {"tiny"}


def test_what_was_evicted_and_what_is_kept_is_what_would_have_been_kept(model: Path) -> None:
    with client_of(model) as client:
        two_turns(client)
        seen = client.scrape()
    kept, nbytes = seen.value("snapshots"), seen.value("snapshot_bytes", tier="memory")
    assert seen.value("snapshot_evictions_total", tier="memory") == 0
    with client_of(model, sessions__memory_bytes=int(nbytes / kept * 1.5)) as client:
        two_turns(client)
        seen = client.scrape()
    assert seen.value("snapshots", tier="memory") == 1
    assert seen.value("snapshot_evictions_total", tier="memory") == kept - 1


def test_every_configured_model_is_told_of_and_counted_by_its_own_id(tmp_path: Path) -> None:
    with (
        serving(configured(folder_of_all(tmp_path))) as (url, _),
        Client(base_url=url) as client,
    ):
        client.chat("Hello", model="one:mood").raise_for_status()
        seen = client.scrape()
    ids = {"one", "two", "org/three", "one:mood", "one:poet"}
    assert seen.label_values("id") == ids
    assert seen.total("model_info", generation="7") == len(ids)
    assert seen.label_values("dtype") <= {"bfloat16", "float32"}
    answered = [s.labels["model"] for s in seen.all("answers_total") if s.value]
    assert answered == ["one:mood"]
    # On the engine of its base, the only one that is loaded.
    assert [s.labels["model"] for s in seen.all("step_tokens_count")] == ["one"]
    assert [s.labels["model"] for s in seen.all("slots")] == ["one"]


def test_two_servers_of_one_process_count_apart(model: Path) -> None:
    with client_of(model) as one, client_of(model) as two:
        one.chat("Hello")
        assert one.scrape().value("answers_total", finish_reason="length") == 1
        assert two.scrape().value("answers_total", finish_reason="length") == 0


def test_openmetrics_is_sent_to_whoever_asks_for_it(client: Client) -> None:
    two_turns(client)
    wanted = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    response = client.get("/metrics", headers={"accept": wanted})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    families = {family.name for family in openmetrics(response.text)}
    plain = client.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    # The plain form's parser takes `_total` for the end of a counter's name, too.
    assert families == {family.name for family in prometheus(plain.text)}


def test_a_key_is_wanted_where_there_are_keys(model: Path) -> None:
    with client_of(model, server__api_keys=["secret"]) as client:
        assert client.get("/metrics").status_code == 401
        client.headers["authorization"] = "Bearer secret"
        seen = client.scrape()
    assert seen.value("http_requests_total", route="none", status="401") == 1
    assert seen.value("errors_total", code="invalid_api_key") == 1


def test_waits_are_counted_once_for_a_request_of_several_choices(client: Client) -> None:
    client.chat("Hello", n=3)
    two_turns(client)
    assert client.scrape().value("queue_seconds_count", model="tiny") == 3


def test_known_tokens_save_time_at_the_pace_of_those_that_were_read() -> None:
    metrics = Metrics()
    steps, answers = metrics.steps("m"), metrics.answers("m:adapter", "m")
    answers.admitted(1, 1000)  # nothing is known of the pace
    steps.step_taken(1.0, 1, 100)
    steps.step_taken(5.0, 2, 2)  # of answers alone
    steps.step_taken(2.0, 3, 200)
    answers.admitted(5, 600)
    text = metrics.exposition()[0].decode()
    assert 'rwkv_server_prefill_saved_seconds_total{model="m:adapter"} 6.0' in text
