"""Random requests made from our own OpenAPI document: every answer is one that it documents.

FUZZ_EXAMPLES sets how many requests each operation gets; `make fuzz` asks for many. Half of them
name what is there: the model that is served, and a stored thing where they name one.
"""

import os
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import booleans
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fuzz.stored import Stored
from tests.server.api.doubles import Api
from tests.server.tiny import checkpoint, served

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "12"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
DOCUMENT = schemathesis.openapi.from_dict(Api().app.openapi())
OPERATIONS = {
    f"{found.method.upper()} {found.path}": found
    for found in (result.ok() for result in DOCUMENT.get_all_operations())
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server whose answers are short, whatever a request asks for."""
    path = checkpoint(tmp_path_factory.mktemp("model"))
    limits = {"server__request_timeout_s": 1.0, "engine__default_max_tokens": 8}
    with served(path, **limits) as (url, _):
        yield url


@pytest.fixture(scope="module")
def stored(url: str) -> Iterator[Stored]:
    stored = Stored(url)
    yield stored
    stored.close()


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_as_documented(url: str, stored: Stored, name: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize="FUZZ_EXAMPLES"
        not in os.environ,  # whoever only runs the tests learns the same
        suppress_health_check=list(HealthCheck),
    )
    @given(OPERATIONS[name].as_strategy(), booleans())
    def check(case: schemathesis.Case, known: bool) -> None:
        if known:  # else nearly every request ends at a name
            stored.name(case.path_parameters)
            stored.name(case.body if isinstance(case.body, dict) else {})
        case.call_and_validate(base_url=url, checks=CHECKS, timeout=30)

    check()
