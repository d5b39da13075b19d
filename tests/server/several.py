"""Three little models and two adapters in one folder, and questions to them in this process."""

from dataclasses import dataclass
from pathlib import Path

import torch

from server.app import App, build
from server.chat.types import ChoiceEnd, Message, SamplingOptions, TextDelta, TurnRequest
from server.config import Settings
from tests.checkpoints import random_rwkv7, save
from tests.models.adapters.files import low_ranks, matrices, time_states
from tests.server.tiny import SIZES, checkpoint, settings

ALPHA = 16.0
HELLO = Message("user", "Hello")
AGAIN = Message("user", "And again?")
MODELS = """
[[models]]
path = "{folder}/two.pth"
[[models]]
path = "{folder}/three.pth"
id = "org/three"
"""
ADAPTERS = """
[[adapters]]
name = "mood"
path = "{folder}/mood.pth"
[[adapters]]
name = "poet"
path = "{folder}/poet.pth"
alpha = 16
"""
# Greedy, and without the token that ends an answer.
SAMPLING = SamplingOptions(temperature=0, logit_bias=((0, -100.0),))


def folder_of_all(folder: Path) -> Path:
    """one.pth, two.pth, three.pth; mood.pth and poet.pth for one.pth; merged.pth of both."""
    for seed, name in enumerate(("one", "two", "three")):
        checkpoint(folder, f"{name}.pth", seed)
    tensors = random_rwkv7(SIZES, 0)
    adapter = low_ranks(tensors)
    save(time_states(SIZES), folder / "mood.pth")
    save(adapter, folder / "poet.pth")
    for prefix, weight in matrices(tensors).items():
        up, down = adapter[f"{prefix}.lora_B"], adapter[f"{prefix}.lora_A"]
        product = torch.einsum("or,ri->oi", up.double(), down.double())
        tensors[f"{prefix}.weight"] = (weight.double() + ALPHA / len(down) * product).float()
    save(tensors, folder / "merged.pth")
    return folder


def configured(folder: Path, text: str = MODELS + ADAPTERS, **overrides: object) -> Settings:
    """one.pth, and beside it what `text` says."""
    (folder / "config.toml").write_text(text.format(folder=folder))
    return settings(folder / "one.pth", engine__max_slots=2, **overrides)


def alone(path: Path) -> App:
    """A server of this one model."""
    (path.parent / "config.toml").unlink(missing_ok=True)
    return build(settings(path))


@dataclass(frozen=True)
class Said:
    text: str
    prompt: int
    cached: int

    @property
    def message(self) -> Message:
        return Message("assistant", self.text)


def question(*messages: Message, max_tokens: int = 8, caller: str = "me") -> TurnRequest:
    return TurnRequest(caller, messages, max_tokens=max_tokens, sampling=SAMPLING)


async def ask(app: App, id: str, *messages: Message) -> Said:
    turn = await (await app.catalogue.find(id)).start(question(*messages))
    events = [event async for event in turn.events()]
    assert isinstance(events[-1], ChoiceEnd)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return Said(text, turn.prompt_tokens, turn.cached_tokens)


async def ask_alone(path: Path, *messages: Message) -> Said:
    app = alone(path)
    async with app.running():
        return await ask(app, app.service.model.id, *messages)


def loaded(app: App) -> list[str]:
    return [offer.id for offer in app.catalogue.offers if app.catalogue.loaded(offer)]
