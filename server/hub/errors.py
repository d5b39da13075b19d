"""What can go wrong between a name and a file."""


class HubError(Exception):
    """There is no such checkpoint, or it cannot be had; the message is one sentence."""


class Unreachable(HubError):
    """The hub does not answer, or may not be asked: what is in the cache must do."""


class SeveralCheckpoints(HubError):
    """A repository without a named file, with more than one to choose from.

    files: their names and bytes.
    """

    def __init__(self, message: str, files: dict[str, int]) -> None:
        super().__init__(message)
        self.files = files
