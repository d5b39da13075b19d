"""Held-out evaluation: `python -m models.gosling.evaluate [--model DIR] [--dtype D] [--count N]`.

Every answer is generated greedily behind its true history. `score` takes any predictor, so the
same measure serves training and the finished model.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models.gosling.dialogues import Split
from models.gosling.dialogues.exam import ABILITIES, FURTHEST, exam
from models.gosling.scoring import Check, checks, correct

Predict = Callable[[list[list[int]]], list[str]]
"""Prompts as token ids → generated texts: greedy, until id 0, a next user turn or 96 tokens."""
Encode = Callable[[str], list[int]]
"""One segment → token ids."""

SPLITS = (Split.HELD_VALUES, Split.HELD_PHRASES, Split.REAL_NAMES)


@dataclass(frozen=True, slots=True)
class Result:
    """How many of `answers` were right; `wrong` holds some of the others as (wanted, given)."""

    ability: str
    split: str
    answers: int
    right: int
    wrong: tuple[tuple[str, str], ...] = ()

    @property
    def percent(self) -> float:
        return 100 * self.right / max(self.answers, 1)


def unseen(split: Split, ability: str, count: int, gap: int | None = None) -> list[Check]:
    """The checks of `count` dialogues; the same for the same arguments."""
    rng = random.Random(f"{split.name}/{ability}/{gap}")
    return [check for _ in range(count) for check in checks(exam(rng, split, ability, gap))]


def measure(
    predict: Predict, encode: Encode, wanted: list[Check], ability: str, split: str
) -> Result:
    prompts = [[token for text in check.prompt for token in encode(text)] for check in wanted]
    texts = predict(prompts)
    pairs = list(zip(wanted, texts, strict=True))
    wrong = [(check.answer, text) for check, text in pairs if not correct(check, text)]
    return Result(ability, split, len(wanted), len(wanted) - len(wrong), tuple(wrong[:5]))


def score(predict: Predict, encode: Encode, split: Split, count: int) -> dict[str, float]:
    """Percent of right answers by ability, over `count` dialogues of each."""
    return {r.ability: r.percent for r in results(predict, encode, (split,), count)}


def results(predict: Predict, encode: Encode, splits: Iterable[Split], count: int) -> list[Result]:
    return [
        measure(predict, encode, unseen(split, ability, count), ability, split.value)
        for split in splits
        for ability in ABILITIES[split]
    ]


def by_distance(predict: Predict, encode: Encode, count: int) -> list[Result]:
    """Facts of unseen values, by the number of turns between telling and asking."""
    split = Split.HELD_VALUES
    return [
        measure(
            predict, encode, unseen(split, "facts", count, gap), f"facts, {gap} turns", split.value
        )
        for gap in range(FURTHEST + 1)
    ]


def table(found: list[Result]) -> Table:
    shown = Table("ability", "split")
    shown.add_column("answers", justify="right")
    shown.add_column("right", justify="right")
    for r in found:
        shown.add_row(r.ability, r.split, str(r.answers), f"{r.percent:.1f} %")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate the bundled model on unseen dialogues.")
    parser.add_argument("--model", type=Path, default=Path(__file__).parent, help="its folder")
    parser.add_argument("--dtype", default="auto", help="number format, as the server's --dtype")
    parser.add_argument("--count", type=int, default=200, help="dialogues of an ability and split")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--wrong", action="store_true", help="show some of the wrong answers")
    options = parser.parse_args()
    from models.gosling.greedy import Greedy

    greedy = Greedy(options.model, dtype=options.dtype)
    found = results(greedy, greedy.encode, SPLITS, options.count)
    found += by_distance(greedy, greedy.encode, max(options.count // 4, 1))
    report(Console(), found, as_json=options.json, wrong=options.wrong)


def report(console: Console, found: list[Result], *, as_json: bool, wrong: bool) -> None:
    if as_json:
        rows = [{**asdict(r), "percent": round(r.percent, 2)} for r in found]
        console.print_json(json.dumps(rows, ensure_ascii=False))
        return
    console.print(table(found))
    for r in found if wrong else ():
        for wanted, given in r.wrong:
            console.print(f"{r.ability}, {r.split}: {wanted!r} ← {given!r}", markup=False)


if __name__ == "__main__":
    main()
