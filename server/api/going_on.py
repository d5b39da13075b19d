"""Answers that go on from words of the assistant's: the fields that ask for them, and where.

`continue_final_message`, `add_generation_prompt` and `echo` are vLLM's.
"""

from server.api.fields import UNSUPPORTED, Wire
from server.chat.types import TurnRequest
from server.errors import InvalidRequest

_CONTINUE = "continue_final_message"


class GoingOnFields(Wire):
    """What says that the last message is not at its end."""

    continue_final_message: bool | None = None
    add_generation_prompt: bool | None = None

    def check_going_on(self) -> None:
        """Raises InvalidRequest where both are asked for."""
        if self.continue_final_message and self.add_generation_prompt:
            message = (
                f"add_generation_prompt begins another answer, where {_CONTINUE} goes on with the "
                "last; leave one of them out"
            )
            raise InvalidRequest(message, param="add_generation_prompt", code="invalid_value")


def check_answer_begun(request: TurnRequest, param: str = _CONTINUE) -> None:
    """Raises InvalidRequest, naming `param`, for a turn that cannot go on from its last message."""
    last = request.messages[-1]
    if last.role != "assistant" or not last.content.strip() or last.tool_calls:
        raise _fault("needs a last message of the assistant's, of words and no calls", param)
    if request.thinking not in {None, "none"}:
        raise _fault("cannot have a thought before words that are there already", param)
    if request.tool_choice.mode == "required":
        raise _fault("cannot have a call that is required behind words that are given", param)
    if request.constraint is not None:
        raise _fault("is not supported where the answer has to have a form", param, UNSUPPORTED)


def _fault(message: str, param: str, code: str = "invalid_value") -> InvalidRequest:
    return InvalidRequest(f"{param} {message}", param=param, code=code)
