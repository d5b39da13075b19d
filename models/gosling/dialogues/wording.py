"""Small helpers of English the answers share."""

from collections.abc import Sequence

NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
ORDINALS = ("first", "second", "third", "fourth", "fifth")


def joined(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def article(noun: str) -> str:
    return "an" if noun[0].lower() in "aeiou" else "a"


def spoken(number: int) -> str:
    """0 to 99 in words."""
    if number < 20:
        return NUMBERS[number]
    tens, ones = TENS[number // 10 - 2], number % 10
    return f"{tens}-{NUMBERS[ones]}" if ones else tens


def upper_first(text: str) -> str:
    return text[0].upper() + text[1:]


def plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh", "z")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
