"""Python clients against a real server: what each of them says after its own checks."""

import os
from pathlib import Path

from tests.clients.environment import CLIENTS, python, run

SUM = "17 + 25 = 42."
NAMED = "Orla"


def test_langchain(url: str) -> None:
    said = python("langchain_chat", url)
    assert NAMED in said["whole"]
    assert said["streamed"] == said["whole"]
    assert said["finish_reason"] == "stop"
    assert said["usage"]["total_tokens"] > said["usage"]["output_tokens"] > 0
    assert NAMED in said["later"]
    assert said["cached"] > 0
    assert said["batch"] == ["2 + 3 = 5.", "4 + 5 = 9."]


def test_litellm(url: str) -> None:
    said = python("litellm_chat", url)
    assert said["whole"] == said["streamed"] == SUM
    assert said["finish_reason"] == "stop"
    assert said["usage"][0] == said["usage"][1] > 0


def test_the_llm_command(url: str, tmp_path: Path) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: gosling\n  model_name: gosling\n  api_base: {url}\n"
    )
    env = {**os.environ, "LLM_USER_PATH": str(tmp_path)}
    ask = (str(CLIENTS / "llm"), "-m", "gosling", "--key", "none", "-o", "temperature", "0")
    assert run(*ask, "What is 17 + 25?", env=env).strip() == SUM
    assert run(*ask, "--no-stream", "What is 17 + 25?", env=env).strip() == SUM


def test_instructor(url: str) -> None:
    said = python("instructor_extract", url)  # which has validated both
    assert [person["age"] for person in said.values()] == [31, 31]


def test_pydantic_ai(url: str) -> None:
    said = python("pydantic_ai_agent", url)
    assert NAMED in said["first"]
    assert NAMED in said["later"]
    assert said["cached"] > 0
    assert said["asked"] == ["Lisbon"]
    assert said["told"]


def test_the_anthropic_sdk(url: str) -> None:
    said = python("anthropic_chat", url)
    assert NAMED in said["whole"]
    assert NAMED in said["later"]
    assert said["streamed"] == said["whole"]
    assert said["stop_reason"] == "end_turn"
    assert said["cached"] > 0
    assert said["counted"] == 0
