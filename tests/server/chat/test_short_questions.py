"""What of a conversation goes to the archive: answers, and questions that are long to read."""

from pathlib import Path

from server.chat import turn
from server.session import Archive, Packing, SessionManager, SnapshotStore
from tests.server.chat.talking import length, serving, user
from tests.server.session.states import disk

SHORT, LONG = "Hello", "Hello " * turn.LONG


async def test_after_a_restart_only_a_short_question_is_read_again(tmp_path: Path) -> None:
    archive = Archive(lambda: [disk(tmp_path)], Packing())
    archive.open()
    try:
        async with serving(sessions=SessionManager(SnapshotStore(10**8), archive)) as server:
            for text in (SHORT, LONG):
                answer = await server.ask(user(text))
                known = await server.ask(user(text))
                assert known.fed == 0
                # Another process has the archive alone.
                server.service._sessions = SessionManager(SnapshotStore(10**8), archive)
                again = await server.ask(user(text))
                assert again.fed == (answer.fed if text == SHORT else 0)
                server.service._sessions = SessionManager(SnapshotStore(10**8), archive)
                following = await server.ask(user(text), answer.message, user("Bye"))
                assert following.fed == length("\n\nUser: Bye\n\nAssistant:")
    finally:
        await archive.close()
