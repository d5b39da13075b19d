"""What a number format costs in quality: each one against float32, on a person's text or ours."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import get_args

from models import quality
from models.base import Model
from models.gosling.dialogues import Split, dialogue
from models.gosling.render import segments
from models.tokenizer import Tokenizer, TokenizerError, beside
from models.tokenizer import load as load_tokenizer
from server import __version__
from server.bench.drive import Say
from server.bench.report import BenchError, QualityReport, Row
from server.bench.target import Target, load
from server.config import ModelSettings

REFERENCE = "float32"
DIALOGUES = "held-out dialogues of the bundled model"
FORMATS: tuple[str, ...] = tuple(
    name for name in get_args(ModelSettings.model_fields["dtype"].annotation) if name != "auto"
)
EVERYWHERE = ("float32", "bf16", "fp16")  # the others are not for every device and shape
_MOST_DIALOGUES = 10_000


def measure(
    target: Target, formats: Sequence[str], text: Path | None, tokens: int, say: Say
) -> QualityReport:
    """On at most `tokens` of the text, or of dialogues drawn for it. Raises BenchError."""
    reference = load(target, REFERENCE, say)
    texts = _texts(_tokenizer(target, reference), text, tokens)
    rows = tuple(_row(target, name, reference, texts, say) for name in formats)
    return QualityReport(__version__, target.id, str(text or DIALOGUES), REFERENCE, rows)


def _row(
    target: Target, name: str, reference: Model, texts: Sequence[Sequence[int]], say: Say
) -> Row:
    model = reference if name == REFERENCE else load(replace(target, dtype=name), name, say)
    found = quality.compare(model, reference, texts, _tenths(say, f"comparing {name}"))
    return Row(name, found.tokens, found.perplexity, found.kl, found.agreement)


def _tenths(say: Say, what: str) -> quality.Progress:
    """Says how far `what` is, ten times at most."""
    said = -1

    def progress(done: int, total: int) -> None:
        nonlocal said
        if 10 * done // total > said:
            said = 10 * done // total
            say(f"{what}: {10 * said} %")

    return progress


def _tokenizer(target: Target, model: Model) -> Tokenizer:
    try:
        return load_tokenizer(target.tokenizer or beside(target.path), model.spec.vocab_size)
    except TokenizerError as error:
        raise BenchError(str(error)) from error


def _texts(tokenizer: Tokenizer, text: Path | None, tokens: int) -> list[list[int]]:
    try:
        if text is None:
            return list(_dialogues(tokenizer, tokens))
        ids = tokenizer.encode(text.read_text(encoding="utf-8"))[:tokens]
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{text} cannot be read as UTF-8 text: {error}.") from error
    except TokenizerError as error:
        raise BenchError(f"{text} cannot be tokenised: {error}.") from error
    if len(ids) < 2:
        raise BenchError(f"{text} has {len(ids)} tokens; give a text of at least 2.")
    return [ids]


def _dialogues(tokenizer: Tokenizer, tokens: int) -> Iterator[list[int]]:
    """The same for the same tokenizer, with values that training never used."""
    for number in range(_MOST_DIALOGUES):
        drawn = dialogue(Random(f"quality/{number}"), Split.HELD_VALUES)
        ids = [token for part in segments(drawn) for token in tokenizer.encode(part.text)]
        yield ids[:tokens]
        tokens -= len(ids)
        if tokens < 2:
            return
