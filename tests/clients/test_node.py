"""Node clients against a real server: what each of them says after its own checks."""

from tests.clients.environment import node

SUM = "17 + 25 = 42."


def test_the_openai_sdk(url: str) -> None:
    said = node("openai", url)
    assert said["whole"] == said["streamed"] == said["helper"] == SUM
    assert said["usage"][0] == said["usage"][1] > 0
    assert len(set(said["vectors"])) == 1
    assert len(said["vectors"]) == 2
    assert said["refused"]["status"] == 400
    assert said["refused"]["param"] == "temperature"
    assert said["models"] == ["gosling"]


def test_the_openai_sdk_on_responses(url: str) -> None:
    said = node("responses", url)
    assert "Orla" in said["first"]
    assert "Orla" in said["later"]
    assert said["cached"] > 0
    assert said["streamed"] == "2 + 3 = 5."
    assert said["types"] == ["response.created", "response.completed"]


def test_the_vercel_ai_sdk(url: str) -> None:
    said = node("ai_sdk", url)
    assert said["whole"] == said["streamed"] == SUM
    assert said["finishReason"] == "stop"
    assert said["total"] > 0
    assert said["cities"] == ["Lisbon"]
    assert said["told"]
    assert said["object"] == {"name": "Mira", "age": 31}


def test_the_vercel_ai_sdk_on_responses(url: str) -> None:
    said = node("ai_sdk_responses", url)
    assert said["whole"] == said["streamed"] == SUM
    assert said["finishReason"] == "stop"


def test_the_anthropic_sdk(url: str) -> None:
    said = node("anthropic", url)
    assert said["whole"] == said["streamed"] == SUM
    assert said["stop"] == "end_turn"
