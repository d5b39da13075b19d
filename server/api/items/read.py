"""From items to the messages that a model reads."""

from collections.abc import Sequence
from dataclasses import replace

from server.api.items.kept import Item
from server.chat.tools import input_arguments
from server.chat.types import Message, Role, ToolCall
from server.errors import InvalidRequest


class ItemReader:
    """Reads items in their order; what belongs to one answer becomes one message.

    An answer is its thoughts, its text and its calls, text after calls included. messages: what
    was said so far; places: the request's field that each of them came in.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.places: list[str] = []
        self._calls: set[str] = set()
        self._answer: Message | None = None
        self._open = False  # what an assistant says next belongs to the same answer
        self._place = ""

    def read(self, items: Sequence[Item], place: str, *, numbered: bool = False) -> None:
        """place: the field of the request; numbered: it is a list, and errors name the item.

        Raises InvalidRequest for a result without its call.
        """
        for number, item in enumerate(items):
            self._place = f"{place}.{number}" if numbered else place
            self._read(item)
        self._end()

    def say(self, message: Message, place: str) -> None:
        """A message that is no item."""
        self._place = place
        self._add(message)

    def _read(self, item: Item) -> None:
        match item["type"]:
            case "reasoning":
                self._end()
                self._answer, self._open = Message("assistant", ""), True
            case "function_call":
                self._call(ToolCall(item["call_id"], item["name"], item["arguments"]))
            case "custom_tool_call":
                arguments = input_arguments(item["input"])
                self._call(ToolCall(item["call_id"], item["name"], arguments, custom=True))
            case "function_call_output" | "custom_tool_call_output":
                self._end()
                self._add(Message("tool", _text(item["output"]), tool_call_id=self._known(item)))
            case "message" if item["role"] == "assistant":
                self._say("".join(part["text"] for part in item["content"]))
            case _:
                self._end()
                role: Role = "user" if item["role"] == "user" else "system"
                self._add(Message(role, _text(item["content"])))

    def _say(self, text: str) -> None:
        if self._answer is None or not self._open:
            self._end()
            self._answer = Message("assistant", "")
        self._answer = replace(self._answer, content=self._answer.content + text)
        self._open = bool(self._answer.tool_calls)

    def _call(self, call: ToolCall) -> None:
        answer = self._answer or Message("assistant", "")
        if call.id in {one.id for one in answer.tool_calls}:
            raise self._fault("call_id", f"two of the calls have the id {call.id[:64]!r}")
        self._answer = replace(answer, tool_calls=(*answer.tool_calls, call))
        self._calls.add(call.id)
        self._open = True

    def _known(self, item: Item) -> str:
        id: str = item["call_id"]
        if id not in self._calls:
            raise self._fault("call_id", f"no call before it has the id {id[:64]!r}")
        return id

    def _end(self) -> None:
        """Of an answer."""
        if self._answer is not None:
            self._add(self._answer)
        self._answer = None

    def _add(self, message: Message) -> None:
        self.messages.append(message)
        self.places.append(self._place)

    def _fault(self, field: str, message: str) -> InvalidRequest:
        param = f"{self._place}.{field}"
        return InvalidRequest(f"{param}: {message}.", param=param, code="invalid_value")


def _text(content: str | list[dict[str, str]]) -> str:
    """Parts are joined by a line feed, as those of a chat's message are."""
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)
