"""What random requests are made from, and how many of them each operation gets."""

import os

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
OPERATIONS = {
    f"{found.method.upper()} {found.path}": found
    for found in (
        result.ok() for result in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()
    )
}
RUN = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,  # whoever only runs the tests learns the same
    suppress_health_check=list(HealthCheck),
)
