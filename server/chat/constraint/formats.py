"""Formats of strings that are enforced, and how: by llguidance, or by a pattern of our own.

llguidance's dates allow 29 February in every year, its times a leap second in every minute, and
both a year 0000, which most readers refuse. Sources: RFC 3339, and llguidance's list
https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md
"""

from collections.abc import Mapping

_YEAR = "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_FOURTH = "(0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR = f"([0-9]{{2}}{_FOURTH}|{_FOURTH}00)"
_DAY = "(0[1-9]|1[0-9]|2[0-8])"
_DATE = (
    f"({_YEAR}-(0[1-9]|1[0-2])-{_DAY}|{_YEAR}-(0[13-9]|1[0-2])-(29|30)"
    f"|{_YEAR}-(0[13578]|1[02])-31|{_LEAP_YEAR}-02-29)"
)
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_CLOCK}:[0-5][0-9](\.[0-9]{{1,9}})?(Z|[+-]{_CLOCK})"

# None: llguidance has it, to the letter.
FORMATS: Mapping[str, str | None] = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}T{_TIME}$",
    "duration": None,
    "email": None,
    "hostname": None,
    "ipv4": None,
    "ipv6": None,
    "uuid": None,
    "uri": None,
}
