"""What can be wrong with a request, independent of HTTP."""


class RequestError(Exception):
    """A request that cannot be served as it is; the message is one sentence for its sender.

    param: the request's field at fault, if one is; code: a stable word for programs.
    """

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class InvalidRequest(RequestError):
    """The sender's mistake: the same request will fail again."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = "invalid_value"
    ) -> None:
        super().__init__(message, param=param, code=code)


class NotFound(RequestError):
    """A model or other thing that is not here, or not the caller's."""


class Overloaded(RequestError):
    """Slots and queue are full, or the server is stopping: worth another try."""

    def __init__(self, message: str, *, retry_after_s: int, code: str = "overloaded") -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class ModelUnavailable(Overloaded):
    """A model that is served but cannot be loaded now: no room for it, or its files are broken."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, retry_after_s=retry_after_s, code="model_unavailable")


class ArchiveUnavailable(Overloaded):
    """A place where states are kept cannot be asked now, and this would be wrong without it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after_s=5, code="archive_unavailable")


class NotComplete(Overloaded):
    """What is kept is not looked through yet, so that nothing can be said of all of it."""


class NoRoom(RequestError):
    """The disk is full: the same request succeeds once there is room."""

    def __init__(self) -> None:
        message = "The server's disk is full, so that this cannot be kept."
        super().__init__(message, code="insufficient_storage")


class Unreadable(RequestError):
    """What was kept is damaged, was exchanged, or was written under another encryption key."""

    def __init__(self) -> None:
        message = "The server cannot read what it kept: it is damaged or was exchanged."
        super().__init__(message, code="unreadable")


class AnswerFailed(RequestError):
    """The computation broke on our side."""


class FormBroken(AnswerFailed):
    """An answer could neither go on nor end in the form that its request asks for."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(f"{param}: {message}", param=param, code="unsupported_parameter")


class TimeUp(AnswerFailed):
    """The time of a request was up before it was answered; later it may be enough."""


def busy() -> Overloaded:
    """Slots and queue are full."""
    return Overloaded("the server is busy: its slots and its queue are full", retry_after_s=1)
