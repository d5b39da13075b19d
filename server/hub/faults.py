"""What a hub, the network and the disk can do to a download, each as one sentence."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import errors

from server.hub.errors import HubError, Unreachable
from server.hub.local import cache_folder
from server.hub.names import Reference

# The base of all that the library's HTTP client raises, whichever client that is.
HttpError = errors.HTTPError


@contextmanager
def explained(reference: Reference, endpoint: str) -> Iterator[None]:
    """Within this block, what goes wrong is a HubError."""
    try:
        yield
    except HubError:
        raise
    except errors.OfflineModeIsEnabled as error:
        raise Unreachable(
            f"HF_HUB_OFFLINE is set and {reference.name} is not in the cache; unset it to pull."
        ) from error
    except errors.HfHubHTTPError as error:
        raise _refusal(error, reference, endpoint) from error
    except HttpError as error:
        raise Unreachable(
            f"cannot reach {endpoint} ({reason(error)}); check the network, or HF_ENDPOINT."
        ) from error
    except errors.HFValidationError as error:
        raise HubError(f"{reference.repo} cannot be the name of a repository.") from error
    except OSError as error:
        raise _disk(error) from error


@contextmanager
def understood(endpoint: str) -> Iterator[None]:
    """Within this block, an answer that is not a hub's is a HubError."""
    try:
        yield
    except (HttpError, OSError, errors.HFValidationError):
        raise
    except (ValueError, TypeError, LookupError) as error:
        # As on a network whose gate wants a login first.
        raise HubError(f"{endpoint} does not answer as a hub does; check HF_ENDPOINT.") from error


def _refusal(error: errors.HfHubHTTPError, reference: Reference, endpoint: str) -> HubError:
    status = error.response.status_code
    where = f"{endpoint}/{reference.repo}"
    if isinstance(error, errors.GatedRepoError):
        return HubError(
            f"{reference.repo} is gated: accept its conditions at {where} and set HF_TOKEN to a "
            "token that may read it."
        )
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return HubError(f"{where} has no file of that name any more; pull again.")
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            f"there is no repository {reference.repo} at {endpoint}, or it is private: check its "
            "name, or set HF_TOKEN to a token that may read it."
        )
    if status in {401, 403}:
        return HubError(f"{endpoint} refuses {where}; check the token in HF_TOKEN.")
    if transient(error):
        return Unreachable(f"{endpoint} answers with status {status}; try again later.")
    return HubError(f"{endpoint} answers with status {status} for {reference.name}.")


def transient(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return True


def reason(error: Exception) -> str:
    """Its message, on one line and without its full stop."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _disk(error: OSError) -> HubError:
    if error.errno == errno.ENOSPC:
        return full()
    what = error.strerror or reason(error)
    return HubError(f"cannot write to {cache_folder()}: {what}; set HF_HOME to another folder.")


def full(needed: str = "more", free: str = "none") -> HubError:
    """The disk has `free` bytes left and `needed` were needed."""
    return HubError(
        f"the disk of {cache_folder()} is full: {needed} needed, {free} free; make room, or set "
        "HF_HOME to a folder on another disk."
    )
