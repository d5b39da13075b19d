"""Frames made from one that is encoded once."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from server.api.streams import TextFrames

STRINGS = st.text(st.characters(exclude_categories=["Cs"]))


@given(text=STRINGS, model=STRINGS)
@example(text='"content":""', model='"content":""')
@example(text='"\\ \u2028\u2029\x85\x00\x1f\x7f\r\n \U0001f600', model="m")
@example(text="", model="")
def test_a_frame_is_the_whole_chunk_in_json(text: str, model: str) -> None:
    def chunk(said: str) -> dict[str, Any]:
        return {"model": model, "choices": [{"index": 0, "delta": {"content": said}}], "n": None}

    whole = json.dumps(chunk(text), separators=(",", ":"))
    assert TextFrames(chunk(""), "content").frame(text) == f"data: {whole}\n\n".encode()
