"""Random requests made from our own OpenAPI document: every answer is one that it documents.

FUZZ_EXAMPLES sets how many requests each operation gets; `make fuzz` asks for many. Half of them
name what is there: the model that is served, and a stored thing where they name one.
"""

import pytest
import schemathesis
from hypothesis import given
from hypothesis.strategies import booleans

from tests.fuzz.api import CHECKS, OPERATIONS, RUN
from tests.fuzz.stored import Stored


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_as_documented(url: str, stored: Stored, name: str) -> None:
    @RUN
    @given(OPERATIONS[name].as_strategy(), booleans())
    def check(case: schemathesis.Case, known: bool) -> None:
        if known:  # else nearly every request ends at a name
            stored.name(case.path_parameters)
            stored.name(case.body if isinstance(case.body, dict) else {})
        case.call_and_validate(base_url=url, checks=CHECKS, timeout=30)

    check()
