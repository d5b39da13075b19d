"""The exact text of a conversation, and the form of a message that survives being sent back."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.chat.template import G1, TEMPLATES, TemplateError, find_template
from server.chat.types import Message, SamplingOptions

PROPERTY = settings(max_examples=100, deadline=None)
CONTENT = st.text(st.sampled_from("ab \n\r\t:\u00a0\u2028é"), max_size=12)
ROLE = st.sampled_from(["system", "user", "assistant"])
MESSAGE = st.builds(Message, ROLE, CONTENT)


def render(*messages: Message) -> str:
    parts = [
        G1.segments(*G1.canonical(message), first=i == 0) for i, message in enumerate(messages)
    ]
    return "".join("".join(part) for part in parts) + G1.header


def system(text: str) -> Message:
    return Message("system", text)


def user(text: str) -> Message:
    return Message("user", text)


def assistant(text: str) -> Message:
    return Message("assistant", text)


def test_a_question_alone() -> None:
    assert render(user("Hi")) == "User: Hi\n\nAssistant:"


def test_a_whole_conversation() -> None:
    talk = (system("Be brief."), user("Hi"), assistant("Hello."), user("Bye"))
    assert render(*talk) == (
        "System: Be brief.\n\nUser: Hi\n\nAssistant: Hello.\n\nUser: Bye\n\nAssistant:"
    )


def test_an_answer_that_stands_first_has_no_blank_line_before_it() -> None:
    assert render(assistant("Hello."), user("Hi")) == "Assistant: Hello.\n\nUser: Hi\n\nAssistant:"


def test_two_messages_of_one_role_stay_two() -> None:
    assert render(user("a"), user("b")) == "User: a\n\nUser: b\n\nAssistant:"


@pytest.mark.parametrize("content", ["", " ", "\n\n", "\r\n", " \t "])
def test_an_empty_message_is_its_header_without_a_space(content: str) -> None:
    assert render(user(content)) == "User:\n\nAssistant:"
    assert render(user("a"), assistant(content), user("b")) == (
        "User: a\n\nAssistant:\n\nUser: b\n\nAssistant:"
    )
    assert render(system(content), user("a")) == "System:\n\nUser: a\n\nAssistant:"


def test_line_ends_of_windows_become_plain_ones() -> None:
    assert render(user("a\r\nb")) == "User: a\nb\n\nAssistant:"
    assert render(user("x"), assistant("a\r\nb"), user("c")) == (
        "User: x\n\nAssistant: a\nb\n\nUser: c\n\nAssistant:"
    )


@pytest.mark.parametrize("role", ["system", "user"])
def test_runs_of_newlines_collapse_where_blank_lines_separate_turns(role: str) -> None:
    text = "".join(
        G1.segments(*G1.canonical(Message(role, "a\n\nb\n\n\n\nc\r\n\r\nd")), first=True)
    )
    assert text.endswith(": a\nb\nc\nd")


def test_runs_of_newlines_in_an_answer_stay() -> None:
    assert (
        G1.segments(*G1.canonical(assistant("a\n\n\nb\r\n\r\nc")), first=False)[-1]
        == " a\n\n\nb\n\nc"
    )


def test_white_space_within_lines_stays() -> None:
    code = "if x:\n    return  1\n\tpass"
    assert render(user(code)) == f"User: {code}\n\nAssistant:"


def test_the_header_of_an_answer_is_a_segment_of_its_own() -> None:
    assert G1.segments(*G1.canonical(assistant("Hi")), first=False) == ("\n\nAssistant:", " Hi")
    assert G1.header == "\n\nAssistant:"


@PROPERTY
@given(MESSAGE)
@example(user("a\r\r\nb"))
def test_the_canonical_form_of_a_canonical_form_is_itself(message: Message) -> None:
    role, text = G1.canonical(message)
    assert G1.canonical(Message(role, text)) == (role, text)


@PROPERTY
@given(ROLE, CONTENT, st.sampled_from(["", " ", "\n", "\r\n", " \n\n "]))
def test_white_space_around_a_message_does_not_matter(role: str, text: str, around: str) -> None:
    inner = Message(role, text.strip())
    assert G1.canonical(Message(role, around + text.strip() + around)) == G1.canonical(inner)


@PROPERTY
@given(ROLE, CONTENT)
def test_line_ends_of_any_kind_do_not_matter(role: str, text: str) -> None:
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    windows = plain.replace("\n", "\r\n")
    assert G1.canonical(Message(role, windows)) == G1.canonical(Message(role, plain))


@PROPERTY
@given(MESSAGE, st.booleans())
@example(assistant("a\r\r\nb"), False)
def test_messages_of_one_canonical_form_are_rendered_alike(message: Message, first: bool) -> None:
    canonical = Message(*G1.canonical(message))
    assert G1.segments(*G1.canonical(message), first=first) == G1.segments(
        *G1.canonical(canonical), first=first
    )


@PROPERTY
@given(MESSAGE, st.booleans())
def test_a_body_that_is_rendered_begins_with_its_one_space(message: Message, first: bool) -> None:
    text = G1.canonical(message)[1]
    rendered = "".join(G1.segments(*G1.canonical(message), first=first))
    header, colon, body = rendered.partition(":")
    assert header.lstrip("\n") + colon in {"System:", "User:", "Assistant:"}
    assert body == (f" {text}" if text else "")
    assert rendered.startswith("\n\n") is not first


def test_no_stop_is_a_blank_line_alone() -> None:
    assert set(G1.stops) == {"\n\nUser:", "\nUser:"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("g1", "System: S\n\nUser: a\nb\n\nAssistant: c\n\nd\n\nUser: e\n\nAssistant:"),
        ("world", "System: S\n\nUser: a\nb\n\nAssistant: c\n\nd\n\nUser: e\n\nAssistant:"),
        ("raven", "S\n\nBob: a\nb\n\nAlice: c\n\nd\n\nBob: e\n\nAlice:"),
        (
            "alpaca",
            "S\n\n# Instruction:\na\nb\n\n# Response:\nc\n\nd"
            "\n\n# Instruction:\ne\n\n# Response:\n",
        ),
    ],
)
def test_every_template_writes_a_conversation_in_its_own_way(name: str, text: str) -> None:
    talk = (system(" S "), user("a\r\n\nb"), assistant(" c\n\nd\n"), user("e"))
    layout = find_template(name).lay_out(b"root", talk)
    assert "".join(segment.text for segment in layout.segments) == text


@pytest.mark.parametrize("name", ["g1", "world", "raven", "alpaca"])
def test_an_answer_goes_on_from_the_words_that_the_history_has(name: str) -> None:
    found, talk = find_template(name), (user("a"), assistant(" b "))
    layout = found.go_on(b"root", talk)
    history = found.lay_out(b"root", (*talk, user("c"))).history
    assert [(s.text, s.key) for s in layout.segments] == [(s.text, s.key) for s in history[:3]]
    assert layout.key == found.lay_out(b"root", talk[:1]).key
    assert layout.begun == "b"


def test_words_alone_are_gone_on_from() -> None:
    layout = find_template("g1").go_on(b"root", (assistant("b"),))
    assert "".join(segment.text for segment in layout.segments) == "Assistant: b"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("g1", "System:\n\nUser: a\n\nAssistant:"),
        ("raven", "Bob: a\n\nAlice:"),
        ("alpaca", "# Instruction:\na\n\n# Response:\n"),
    ],
)
def test_an_empty_system_message_is_its_header_alone(name: str, text: str) -> None:
    layout = find_template(name).lay_out(b"root", (system(" "), user("a")))
    assert "".join(segment.text for segment in layout.segments) == text


@pytest.mark.parametrize(
    ("name", "generation", "stops"),
    [
        ("g1", "7", {"\n\nUser:", "\nUser:"}),
        ("world", "7", {"\n\nUser:", "\nUser:"}),
        ("world", "6", {"\n\n", "\nUser:"}),
        ("world", "5.2", {"\n\n", "\nUser:"}),
        ("raven", "4", {"\n\n", "\nBob:"}),
        ("alpaca", "4", {"\n\n# Instruction:", "\n# Instruction:"}),
    ],
)
def test_an_answer_ends_where_the_template_lets_the_user_speak(
    name: str, generation: str, stops: set[str]
) -> None:
    assert set(find_template(name, generation).stops) == stops


def test_sampling_is_what_each_model_card_recommends() -> None:
    raven = SamplingOptions(1.2, 0.5, presence_penalty=0.4, frequency_penalty=0.4)
    assert find_template("raven").sampling == find_template("alpaca").sampling == raven
    assert find_template("world").sampling == SamplingOptions(
        1.0, 0.3, presence_penalty=0.5, frequency_penalty=0.5, penalty_decay=0.996
    )
    assert find_template("g1").sampling == SamplingOptions(1.0, 0.5, 100)


@pytest.mark.parametrize(
    ("generation", "vocab_size", "name"),
    [
        ("7", 65_536, "g1"),
        ("6", 65_536, "world"),
        ("5.2", 65_536, "world"),
        ("5.1", 50_277, "world"),
        ("5.0", 65_536, "world"),
        ("4", 50_277, "raven"),
        ("4", 65_536, "world"),
    ],
)
def test_auto_goes_by_the_model(generation: str, vocab_size: int, name: str) -> None:
    template = find_template("auto", generation, vocab_size)
    assert template == find_template(name, generation)
    assert template.name == name


def test_only_g1_thinks() -> None:
    assert [template.name for template in TEMPLATES.values() if template.thinks] == ["g1"]


def test_auto_is_g1_where_nothing_is_known() -> None:
    assert find_template("auto") is find_template("g1") is G1


def test_an_unknown_template_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TemplateError, match=r"unknown template 'bob': choose one of auto, g1, "):
        find_template("bob")


def test_every_template_has_the_name_under_which_it_is_found() -> None:
    assert all(template.name == name for name, template in TEMPLATES.items())
