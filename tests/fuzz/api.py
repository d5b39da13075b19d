"""What random requests are made from, and how many of them each operation gets."""

import os
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.api.document import DOCUMENT

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "12"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
RUN = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,  # whoever only runs the tests learns the same
    suppress_health_check=list(HealthCheck),
)


def operations(document: dict[str, Any]) -> dict[str, schemathesis.APIOperation]:
    """Of an OpenAPI document, by method and path."""
    found = [one.ok() for one in schemathesis.openapi.from_dict(document).get_all_operations()]
    return {f"{one.method.upper()} {one.path}": one for one in found}


OPERATIONS = operations(DOCUMENT)
