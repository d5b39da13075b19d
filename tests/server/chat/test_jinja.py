"""Templates in Jinja: what they see, where their conversations resume, and what is refused."""

from pathlib import Path

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat.template import TemplateError, find_template
from server.chat.template.jinja import JinjaTemplate
from server.chat.types import Message
from server.errors import InvalidRequest
from tests.doubles import WritingModel
from tests.server.chat.talking import HELLO, TOKENIZER, Server, assistant, length, serving, user

# The double's model writes after a colon.
CHATML = """{%- for message in messages %}
<|{{ message['role'] }}:{{ message.content }}|>
{% endfor %}
{% if add_generation_prompt %}
<|assistant:
{%- endif %}
"""
THINKER = """{%- for message in messages -%}
[{{ message.role }}:{{ message.content.split('</think>')[-1] }}]
{%- endfor -%}
{%- if add_generation_prompt -%}
[assistant:
{%- if enable_thinking is defined -%}
{{ '<think>' if enable_thinking else '<think></think>' }}
{%- endif -%}
{%- endif -%}
"""
COUNTER = """[{{ messages | length }} messages]{% for message in messages %}
{{ message.role }}:{{ message.content }}.
{%- endfor %}
{% if add_generation_prompt %}assistant:{% endif %}"""
STRICT = """{{ bos_token }}{% for m in messages %}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns must alternate') }}
{%- endif %}
{{- '\\n\\nHuman: ' if m.role == 'user' else '\\n\\nBot:' }}{{ m.content }}{{ eos_token }}
{%- endfor %}{{ '\\n\\nBot:' if add_generation_prompt }}"""

PROMPTED = """{% if add_generation_prompt %}Go on. {% endif %}{% for m in messages %}
{{- m.role }}:{{ m.content }}.
{%- endfor %}"""


def template(source: str) -> JinjaTemplate:
    return JinjaTemplate("test.jinja", source)


def rendered(source: str, *messages: Message) -> str:
    layout = template(source).lay_out(b"root", messages)
    return "".join(segment.text for segment in layout.segments)


def system(text: str) -> Message:
    return Message("system", text)


@pytest.mark.parametrize("source", [CHATML, THINKER])
def test_an_answer_goes_on_from_the_rendering_of_its_words(source: str) -> None:
    found = template(source)
    layout = found.go_on(b"root", (user("Hi"), assistant("So ")))
    asked = found.lay_out(b"root", (user("Hi"),))
    prompt = "".join(segment.text for segment in asked.segments)
    words = "".join(segment.text for segment in layout.segments)
    assert words.startswith(prompt)
    assert words.endswith("So")
    assert words.removeprefix(prompt).strip() == "So"
    assert (layout.key, layout.begun) == (asked.key, "So")
    follow_up = found.lay_out(b"root", (user("Hi"), assistant("So"), user("Bye")))
    assert layout.opening.key in follow_up.keys


def test_a_template_whose_answers_do_not_continue_its_prompt_says_so() -> None:
    with pytest.raises(InvalidRequest, match="does not let an answer go on"):
        template(PROMPTED).go_on(b"root", (user("Hi"), assistant("So")))


def told(source: str, *messages: Message) -> str:
    layout = template(source).lay_out(b"root", messages)
    return "".join(segment.text for segment in template(source).told(messages, layout))


@pytest.mark.parametrize("last", [user("Bye"), assistant("Bye")])
@pytest.mark.parametrize("source", [CHATML, THINKER, COUNTER, PROMPTED])
def test_messages_alone_are_the_rendering_without_a_prompt(source: str, last: Message) -> None:
    messages = (*HELLO, assistant("Hi"), last)
    plain = [{"role": one.role, "content": one.content} for one in messages]
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    rendering = environment.from_string(source).render(messages=plain)
    assert told(source, *messages) == rendering


def test_the_segments_are_the_rendering_of_the_whole() -> None:
    text = rendered(CHATML, *HELLO, assistant("Hi"), user("Bye"))
    assert text == (
        "<|system:Be brief.|>\n<|user:Hello|>\n<|assistant:Hi|>\n<|user:Bye|>\n<|assistant:"
    )


def test_boundaries_follow_the_system_message_and_the_words_of_answers() -> None:
    layout = template(CHATML).lay_out(b"root", (*HELLO, assistant("Hi"), user("Bye")))
    assert [(segment.text, segment.boundary) for segment in layout.segments] == [
        ("<|system:Be brief.|>\n", True),
        ("<|user:Hello|>\n<|assistant:", False),
        ("Hi", True),
        ("|>\n<|user:Bye|>\n<|assistant:", True),
    ]


def test_contents_are_canonical() -> None:
    assert rendered(CHATML, user(" a\r\n\r\nb \n")) == "<|user:a\n\nb|>\n<|assistant:"


def test_marks_of_beginning_and_end_are_empty() -> None:
    assert rendered(STRICT, user("a")) == "\n\nHuman: a\n\nBot:"


@pytest.mark.parametrize(
    ("source", "stops"),
    [(CHATML, ("|>",)), (STRICT, ("\n\nHuman:",)), (THINKER, ("]",)), (COUNTER, (".",))],
)
def test_the_stop_string_is_what_follows_an_answer(source: str, stops: tuple[str, ...]) -> None:
    assert template(source).stops == stops


async def test_the_next_turn_feeds_only_the_new_words() -> None:
    model = WritingModel("Hi there.|>\n<|user")
    async with serving(model=model, template=template(CHATML)) as server:
        talk = [*HELLO]
        for _ in range(20):
            first = await server.ask(*talk)
            assert (first.text, first.reason) == ("Hi there.", "stop")
            before = len(model.fed)
            talk += [assistant(first.text), user("More")]
            second = await server.ask(*talk, max_tokens=1)
            new = "|>\n<|user:More|>\n<|assistant:"
            assert second.fed == length(new)
            assert TOKENIZER.decode(model.fed[before : before + len(new)]) == new


async def test_an_edited_answer_resumes_from_its_prompt() -> None:
    async with serving("Hi there.|>", template=template(CHATML)) as server:
        first = await server.ask(*HELLO)
        edited = await server.ask(*HELLO, assistant("I never said that."), user("Bye"))
        assert edited.turn.cached_tokens == first.turn.prompt_tokens


async def test_regenerating_feeds_nothing() -> None:
    async with serving("Hi there.|>", template=template(CHATML)) as server:
        await server.ask(*HELLO)
        assert (await server.ask(*HELLO)).fed == 0


async def test_a_template_that_changes_its_past_is_answered_from_the_beginning() -> None:
    async with serving("Hi there.", template=template(COUNTER)) as server:
        first = await server.ask(*HELLO)
        assert first.text == "Hi there"
        talk = (*HELLO, assistant(first.text), user("Bye"))
        second = await server.ask(*talk)
        assert second.turn.cached_tokens == 0
        text = "[4 messages]system:Be brief..user:Hello.assistant:Hi there.user:Bye.assistant:"
        assert fed(server, *talk).replace("\n", "") == text


def fed(server: Server, *messages: Message) -> str:
    kept = server.kept(*messages)
    assert kept is not None
    return TOKENIZER.decode(kept.fed.to_list())


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([CHATML, THINKER, COUNTER]),
    st.lists(
        st.builds(
            Message,
            st.sampled_from(["system", "user", "assistant"]),
            st.text(st.sampled_from("ab :|>\n"), max_size=5),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_a_layout_is_the_rendering_and_its_keys_name_its_text(
    source: str, talk: list[Message]
) -> None:
    found = template(source)
    names: dict[bytes, str] = {}
    for count in range(1, len(talk) + 1):
        layout = found.lay_out(b"root", talk[:count])
        at = ""
        for segment in layout.segments:
            at += segment.text
            assert segment.key is not None
            assert names.setdefault(segment.key, at).split() == at.split()


def test_long_conversations_are_rendered_a_few_times_only() -> None:
    found = template(CHATML)
    talk = [Message(role, "x") for _ in range(5_000) for role in ("user", "assistant")]
    layout = found.lay_out(b"root", (*talk, user("Bye")))
    assert 2 < len(layout.segments) < 20


@pytest.mark.parametrize(
    ("thinking", "opening", "phase"),
    [
        (None, "[assistant:", "start"),
        ("none", "[assistant:<think></think>", "answer"),
        ("on", "[assistant:<think>", "thought"),
        ("high", "[assistant:<think>", "thought"),
    ],
)
def test_a_template_is_told_to_think_or_not(thinking, opening: str, phase: str) -> None:
    layout = template(THINKER).lay_out(b"root", (user("<think"),), thinking)
    assert (layout.opening.text, layout.phase) == (f"[user:<think]{opening}", phase)
    assert layout.key == template(THINKER).lay_out(b"root", (user("<think"),)).key


async def test_thoughts_of_a_jinja_template_are_split_and_a_follow_up_is_cheap() -> None:
    async with serving("<think>Hm.</think>Hi.]", template=template(THINKER)) as server:
        first = await server.ask(*HELLO, thinking="on")
        assert (first.thought, first.text) == ("Hm.", "Hi.")
        second = await server.ask(*HELLO, assistant("Hi."), user("Bye"), max_tokens=1)
        assert second.fed == length("][user:Bye][assistant:")


async def test_thoughts_of_a_jinja_template_can_be_dropped() -> None:
    found = template(THINKER)
    async with serving("<think>Hm.</think>Hi.]", template=found, keep_thinking=False) as server:
        first = await server.ask(*HELLO, thinking="on")
        talk = (*HELLO, assistant(first.text), user("Bye"))
        second = await server.ask(*talk, max_tokens=1)
        assert second.fed == length("][user:Bye][assistant:")
        assert "think" not in fed(server, *talk)


async def test_a_template_that_wants_a_question_last_still_answers() -> None:
    source = "{{ raise_exception('no') if messages[-1].role == 'assistant' }}" + THINKER
    async with serving(
        "<think>Hm.</think>Hi.]", template=template(source), keep_thinking=False
    ) as server:
        first = await server.ask(*HELLO, thinking="on")
        assert (first.thought, first.text, first.reason) == ("Hm.", "Hi.]", "stop")
        second = await server.ask(*HELLO, assistant(first.text), user("Bye"), max_tokens=1)
        assert second.turn.cached_tokens < first.turn.prompt_tokens


def test_json_is_written_without_the_escapes_of_html() -> None:
    assert rendered("{{ messages[0].content | tojson }}", user("<é>")) == '"<é>"'


def test_only_a_template_that_knows_enable_thinking_thinks() -> None:
    assert [template(source).thinks for source in (CHATML, THINKER)] == [False, True]


def test_what_a_template_refuses_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest, match="turns must alternate") as caught:
        template(STRICT).lay_out(b"root", (user("a"), user("b")))
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{% for %}", "not valid Jinja"),
        ("{{ messages[0].content", "not valid Jinja"),
        ("{{ raise_exception('no') }}", "cannot render a question: no"),
        ("Hello!", "leaves out what the user says"),
        ("{{ messages[0].content }}{{ 1 / 0 }}", "cannot render a question"),
    ],
)
def test_a_template_that_cannot_work_is_refused_in_one_sentence(source: str, said: str) -> None:
    with pytest.raises(TemplateError, match=said) as caught:
        template(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "trick",
    [
        "''.__class__.__mro__",
        "''.__class__.__mro__[1].__subclasses__()",
        "messages.__class__.__base__.__subclasses__()",
        "raise_exception.__globals__['jinja2']",
        "cycler.__init__.__globals__.os.popen('id').read()",
        "self.__init__.__globals__",
        "('%s' | attr('format')).__globals__['x']",
        "'{0.__class__.__mro__}'.format('')",
        "messages.append(1)",
        "messages[0].update(role='x')",
    ],
)
def test_the_sandbox_lets_nothing_out(trick: str) -> None:
    with pytest.raises(TemplateError):
        template("{{ messages[0].content }}{{ " + trick + " }}")


def test_an_attribute_that_is_not_let_out_renders_as_nothing() -> None:
    assert rendered("{{ messages[0].content }}[{{ ''.__class__ }}]", user("a")) == "a[]"


def test_what_a_message_says_is_no_template() -> None:
    assert "{{ 1 + 1 }}{% x %}" in rendered(CHATML, user("{{ 1 + 1 }}{% x %}"))


def test_a_file_is_found_by_its_ending(tmp_path: Path) -> None:
    path = tmp_path / "chat_template.jinja"
    path.write_text(CHATML)
    found = find_template(str(path))
    assert found.name == "chat_template.jinja"
    assert found.stops == ("|>",)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read: No such file"), (b"\xff", "not UTF-8 text")]
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "x.j2"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TemplateError, match=said) as caught:
        find_template(str(path))
    assert str(path) in str(caught.value)


def test_templates_of_one_name_and_other_text_have_other_fingerprints() -> None:
    assert template(CHATML).fingerprint != template(COUNTER).fingerprint
    assert template(CHATML).fingerprint == template(CHATML).fingerprint
