"""Seeded text of many kinds, to compare tokenizers on."""

import random
from collections.abc import Callable, Iterator, Sequence

_SCRIPTS = [
    (0x0020, 0x007E),  # ASCII
    (0x00A0, 0x024F),  # Latin
    (0x0300, 0x036F),  # combining marks
    (0x0370, 0x03FF),  # Greek
    (0x0400, 0x04FF),  # Cyrillic
    (0x0530, 0x05FF),  # Armenian, Hebrew
    (0x0600, 0x06FF),  # Arabic
    (0x0900, 0x0D7F),  # Devanagari to Malayalam
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x10A0, 0x10FF),  # Georgian
    (0x1200, 0x137F),  # Ethiopic
    (0x1780, 0x17FF),  # Khmer
    (0x2000, 0x2BFF),  # punctuation, arrows, mathematics
    (0x3000, 0x30FF),  # kana
    (0x4E00, 0x9FFF),  # CJK
    (0xAC00, 0xD7A3),  # Hangul
    (0xE000, 0xFFFF),  # private use, specials
    (0x10000, 0x1FAFF),  # Linear B to emoji
    (0x20000, 0x2FA1F),  # CJK extensions
    (0xE0000, 0x10FFFF),  # tags, private planes
]
_WORDS = ["User:", "Assistant:", "System:", "<think>", "</think>", "def f(x):", "    return x"]
_WORDS += ["```json", '{"a": 1}', "你好", "Привет", "état", "Ångström"]
_EMOJI = ["👩", "👨", "👧", "👍", "🏽", "🏿", "❤", "️", "🇫", "🇷", "🏳", "🌈", "⚕", "1", "⃣"]
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x200B, 0x200F, 0x2028, 0x202E, 0xFEFF]


def _script(rng: random.Random) -> str:
    low, high = rng.choice(_SCRIPTS)
    return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 12)))


def _emoji(rng: random.Random) -> str:
    return rng.choice(["", "\u200d"]).join(rng.choices(_EMOJI, k=rng.randint(2, 6)))


def _run(rng: random.Random) -> str:
    piece = rng.choice(["\n", "\r\n", " ", "\t", "=", "-", "*", "#", "\n ", "\u3000", "0"])
    return piece * rng.randint(1, 200)


def _controls(rng: random.Random) -> str:
    return "".join(map(chr, rng.choices(_CONTROLS, k=rng.randint(1, 8))))


def _words(rng: random.Random) -> str:
    return rng.choice([" ", "\n", "\n\n", ""]).join(rng.choices(_WORDS, k=rng.randint(1, 8)))


def texts(seed: int, count: int, entries: Sequence[str] = ()) -> Iterator[str]:
    """`count` strings; `entries` are mixed in whole, to reach the long ones of a vocabulary."""
    rng = random.Random(seed)

    def entry(rng: random.Random) -> str:
        return "".join(rng.choices(entries, k=rng.randint(1, 6)))

    kinds: list[Callable[[random.Random], str]] = [_script, _emoji, _run, _controls, _words]
    if entries:
        kinds.append(entry)
    for _ in range(count):
        yield "".join(rng.choice(kinds)(rng) for _ in range(rng.randint(1, 5)))
