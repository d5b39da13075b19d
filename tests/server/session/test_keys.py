"""Keys name a conversation's prefixes: nothing shared between what differs, nothing random."""

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from server.session import Key, conversation_key, extend, prompt_key

TEXT = st.text(st.sampled_from("ab/\0\n:é🙂"), max_size=6)
MESSAGES = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), TEXT), max_size=4)
WHOLE = st.tuples(TEXT, TEXT, MESSAGES)
PROPERTY = settings(max_examples=100, deadline=None)
EMPTY = "14a1341919fe96b4"  # of the first version
TALK = [("user", "hello"), ("assistant", "hi"), ("user", "bye")]


def chain(fingerprint: str, caller: str, messages: list[tuple[str, str]]) -> list[Key]:
    """Keys of all prefixes, the empty one first."""
    keys = [conversation_key(fingerprint, caller)]
    for role, text in messages:
        keys.append(extend(keys[-1], role, text))
    return keys


@PROPERTY
@given(TEXT, TEXT, MESSAGES)
def test_there_is_a_key_for_every_prefix(fingerprint: str, caller: str, messages: list) -> None:
    keys = chain(fingerprint, caller, messages)
    assert len(keys) == len(messages) + 1
    assert len(set(keys)) == len(keys)
    for count in range(len(messages) + 1):
        assert chain(fingerprint, caller, messages[:count]) == keys[: count + 1]


@PROPERTY
@given(WHOLE, WHOLE)
def test_different_conversations_share_only_their_common_prefix(one: tuple, other: tuple) -> None:
    assume(one != other)
    keys, others = chain(*one), chain(*other)
    common = 0
    if one[:2] == other[:2]:
        pairs = zip(one[2], other[2], strict=False)
        common = 1 + next(
            (i for i, (a, b) in enumerate(pairs) if a != b), min(len(one[2]), len(other[2]))
        )
    assert keys[:common] == others[:common]
    assert not set(keys[common:]) & set(others)


def test_text_that_moves_between_role_and_content_changes_the_key() -> None:
    keys = {chain("f", "c", [(role, text)])[-1] for role, text in [("ab", "c"), ("a", "bc")]}
    assert len(keys) == 2


def test_text_that_moves_between_messages_changes_the_key() -> None:
    talks = [[("user", "ab"), ("user", "c")], [("user", "a"), ("user", "bc")], [("user", "abc")]]
    assert len({chain("f", "c", talk)[-1] for talk in talks}) == 3


def test_text_that_moves_between_fingerprint_and_caller_changes_every_key() -> None:
    assert not set(chain("ab", "c", TALK)) & set(chain("a", "bc", TALK))


def test_no_caller_shares_a_key_with_another() -> None:
    assert not set(chain("f", "ann", TALK)) & set(chain("f", "bob", TALK))


def test_no_model_shares_a_key_with_another() -> None:
    assert not set(chain("one", "c", TALK)) & set(chain("two", "c", TALK))


def test_a_role_changes_the_key() -> None:
    assert chain("f", "c", [("user", "x")])[-1] != chain("f", "c", [("system", "x")])[-1]


def test_a_prefix_with_one_more_message_extends_the_chain() -> None:
    keys = chain("f", "c", TALK)
    assert extend(keys[2], *TALK[2]) == keys[3]


@PROPERTY
@given(MESSAGES, TEXT)
def test_the_key_of_a_prompt_is_no_key_of_a_prefix(messages: list, header: str) -> None:
    keys = chain("f", "c", messages)
    whole = prompt_key(keys[-1], header)
    assert whole not in keys
    assert whole not in {extend(keys[-1], role, header) for role in ("user", "assistant", "prompt")}


def test_prompts_with_other_headers_have_other_keys() -> None:
    assert prompt_key(b"k", "Assistant:") != prompt_key(b"k", "Assistant: <think")


def test_keys_are_the_same_in_every_process() -> None:
    key = prompt_key(chain("fingerprint", "caller", TALK)[-1], "\n\nAssistant:")
    assert len(key) == 32
    assert chain("fingerprint", "caller", [])[0].hex().startswith(EMPTY)
