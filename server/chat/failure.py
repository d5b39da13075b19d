"""What a request is told of an answer that failed."""

from server.engine.messages import Failed
from server.errors import AnswerFailed, FormBroken, TimeUp


def failure_of(event: Failed) -> AnswerFailed:
    """Later there may be a slot in time; what broke may break again."""
    if event.form is not None:
        return FormBroken(event.message, event.form)
    if event.waited:
        return TimeUp(event.message, code="queue_timeout")
    return AnswerFailed(event.message)
