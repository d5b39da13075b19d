"""The chat in a terminal: a prompt, a streamed answer, and a few commands."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from rich.console import Console

from server.cli.conversation import ChatError, Conversation, Speaker

HELP = "/reset forgets the conversation, /regenerate answers again, /quit leaves; Ctrl-C stops."
PROMPT = "you> "


class Terminal:
    """Reads lines until /quit or the end of input. Ctrl-C stops an answer, never the program."""

    def __init__(
        self,
        speaker: Speaker,
        conversation: Conversation,
        console: Console,
        read: Callable[[str], str] = input,
    ) -> None:
        self._speaker = speaker
        self._conversation = conversation
        self._console = console
        self._read = read

    def run(self, runner: asyncio.Runner) -> None:
        """Chat; answers are computed in the runner's loop, one run for each."""
        self._note(f"{self._speaker.name}. {HELP}")
        while (line := self._line()) is not None:
            if line.startswith("/"):
                if line == "/quit":
                    return
                self._command(line, runner)
            elif line:
                self._conversation.say(line)
                self._answer(runner)

    def _line(self) -> str | None:
        try:
            return self._read(PROMPT).strip()
        except EOFError:
            return None
        except KeyboardInterrupt:
            self._console.print()
            return ""

    def _command(self, line: str, runner: asyncio.Runner) -> None:
        match line:
            case "/reset":
                self._conversation.reset()
                self._note("Forgotten.")
            case "/regenerate":
                if self._conversation.retract_answer():
                    self._answer(runner)
                else:
                    self._note("There is nothing to answer yet.")
            case _:
                self._note(HELP)

    def _answer(self, runner: asyncio.Runner) -> None:
        """Stream the answer to the open question and keep what came of it."""
        pieces: list[str] = []
        try:
            runner.run(self._stream(pieces))
        except KeyboardInterrupt:
            self._note(" (stopped)")
        except ChatError as error:
            self._note(f"\n{error}")
        if pieces:
            self._conversation.answered("".join(pieces))
        else:
            self._conversation.retract_question()
        self._console.print()

    async def _stream(self, pieces: list[str]) -> None:
        async with aclosing(self._speaker.reply(self._conversation.messages)) as reply:
            async for piece in reply:
                pieces.append(piece)
                self._console.print(piece, end="", markup=False, highlight=False, soft_wrap=True)

    def _note(self, text: str) -> None:
        self._console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)
