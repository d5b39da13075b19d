"""What a request is told of an answer that failed."""

from server.engine.messages import Failed
from server.errors import AnswerFailed, TimeUp


def failure_of(event: Failed) -> AnswerFailed:
    """Later there may be a slot in time; what broke may break again."""
    if event.waited:
        return TimeUp(event.message, code="queue_timeout")
    return AnswerFailed(event.message)
