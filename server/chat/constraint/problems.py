"""Where in a schema something is wrong, and the errors that say so."""

from dataclasses import dataclass

from server.errors import InvalidRequest

UNSUPPORTED = "unsupported_parameter"
INVALID = "invalid_value"


@dataclass(frozen=True, slots=True)
class Place:
    """A value in a request: the field's name, and the steps from there on in dots."""

    field: str

    def __truediv__(self, step: str | int) -> "Place":
        return Place(f"{self.field}.{step}")

    def __str__(self) -> str:
        return self.field


def invalid(place: Place, message: str) -> InvalidRequest:
    """A value that no JSON schema has there; message: what it must be."""
    return InvalidRequest(f"{place} {message}.", param=str(place), code=INVALID)


def unsupported(place: Place, why: str) -> InvalidRequest:
    """A keyword that cannot be enforced; why: the rest of the sentence."""
    message = f"{place} cannot be enforced: {why}."
    return InvalidRequest(message, param=str(place), code=UNSUPPORTED)
