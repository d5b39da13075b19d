"""Masks and matchers over every kind of tokenizer, and the engine that goes by them."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from models.tokenizer import Tokenizer, load
from server.engine.constraint import ConstraintBroken, GrammarError, TokenMatcher, Vocabulary
from server.engine.messages import Branch, Failed, Sampling, Submit
from server.engine.sampler import Sampler, forbidden_tensor
from tests.doubles import ByteTokenizer, CountingModel, SilentWatcher
from tests.models.tokenizer.tokenizer_files import byte_level, sentence_piece
from tests.server.chat.constraint.matching import allowed, grammar_of, written
from tests.server.engine.choosing import sampled
from tests.server.engine.test_engine import engine, finished, run, tokens

SCHEMA = {
    "type": "object",
    "properties": {"hello": {"enum": ["hello", "日本", 42]}, "a": {"type": "boolean"}},
    "required": ["hello", "a"],
    "additionalProperties": False,
}
EVERY = ByteTokenizer()  # ids are bytes plus one, 0 ends a text
VOCABULARY = Vocabulary(EVERY, 257)


def lark(rule: str) -> TokenMatcher:
    source = json.dumps({"grammars": [{"lark_grammar": f"start: {rule}"}]})
    return VOCABULARY.compile(source).matcher()


def vocabulary_file(folder: Path) -> Path:
    path = folder / "rwkv_vocab_own.txt"
    entries = [bytes([byte]) for byte in range(1, 256)] + [b'{"hello": "', b'"hello"']
    lines = [f"{n} {token!r} {len(token)}\n" for n, token in enumerate(entries, 1)]
    path.write_text("".join(lines))
    return path


def tokenizer(kind: str, folder: Path) -> tuple[Tokenizer, int]:
    match kind:
        case "world":
            return load("world", 65_536), 65_536
        case "bytes":
            return load("bytes", 256), 256
        case "vocabulary":
            return load(vocabulary_file(folder), 300), 300
        case "byte level":
            return load(byte_level(folder / "tokenizer.json", "<|own|>"), 512), 512
    return load(sentence_piece(folder / "tokenizer.json"), 320), 320


@pytest.mark.parametrize("kind", ["world", "bytes", "vocabulary", "byte level", "sentence piece"])
def test_what_any_tokenizer_writes_fits_the_schema(kind: str, tmp_path: Path) -> None:
    """written() sees to it that no token without bytes is ever allowed."""
    own, rows = tokenizer(kind, tmp_path)
    grammar = grammar_of("json_schema", SCHEMA, vocabulary=Vocabulary(own, rows))
    values = set()
    for seed in range(60):
        text = written(grammar, own, rows, seed)
        assert text is not None
        value = json.loads(text.decode())
        assert value["hello"] in {"hello", "日本", 42}
        values.add(value["hello"])
    assert len(values) == 3


def test_the_end_is_allowed_where_an_answer_may_end_and_nowhere_else() -> None:
    matcher = lark('"a" "b"?')
    assert not allowed(matcher.mask(), 257)[0]
    matcher.advance(ord("a") + 1)
    assert not matcher.complete
    assert list(np.flatnonzero(allowed(matcher.mask(), 257))) == [0, ord("b") + 1]
    matcher.advance(ord("b") + 1)
    assert matcher.complete


def test_matchers_of_one_grammar_go_their_own_ways() -> None:
    grammar = VOCABULARY.compile(json.dumps({"grammars": [{"lark_grammar": 'start: "ab" | "cd"'}]}))
    one, other = grammar.matcher(), grammar.matcher()
    one.advance(ord("a") + 1)
    other.advance(ord("c") + 1)
    assert list(np.flatnonzero(allowed(one.mask(), 257))) == [ord("b") + 1]
    assert list(np.flatnonzero(allowed(other.mask(), 257))) == [ord("d") + 1]


def test_a_token_that_does_not_fit_breaks_the_matcher() -> None:
    matcher = lark('"a"')
    matcher.advance(ord("b") + 1)
    with pytest.raises(ConstraintBroken):
        matcher.mask()
    with pytest.raises(ConstraintBroken):
        _ = matcher.complete


def test_a_grammar_that_grows_too_complex_breaks() -> None:
    matcher = lark('e\ne: e e e | e e | "a"')

    def go_on() -> None:
        for _ in range(1_000):
            matcher.advance(ord("a") + 1)
            assert not matcher.complete

    with pytest.raises(ConstraintBroken):
        go_on()


class Stopping:
    """Stands in for llguidance's matcher, stopped for a reason before its first token."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def deep_copy(self) -> "Stopping":
        return self

    def unsafe_compute_mask_ptr(self, *_: int) -> None:
        pass

    def is_error(self) -> bool:
        return False

    def is_stopped(self) -> bool:
        return True

    def stop_reason(self) -> str:
        return self.reason


@pytest.mark.parametrize("reason", ["ParserTooComplex", "LexerTooComplex", "MaxTokensTotal"])
def test_an_answer_that_had_to_be_given_up_is_not_complete(reason: str) -> None:
    assert TokenMatcher(cast(Any, Stopping("NoExtension")), 9).complete
    with pytest.raises(ConstraintBroken):
        _ = TokenMatcher(cast(Any, Stopping(reason)), 9).complete


def test_errors_of_grammars_are_one_line() -> None:
    with pytest.raises(GrammarError, match=r"^[^\n]+$"):
        VOCABULARY.compile(json.dumps({"grammars": [{"lark_grammar": "start: /(/"}]}))


@pytest.mark.parametrize("rows", [31, 32, 33, 100, 257])
def test_a_masked_sampler_draws_as_if_all_else_were_impossible(rows: int) -> None:
    rng = random.Random(rows)
    may = [i for i in range(rows) if rng.random() < 0.3] or [0]
    bits = np.zeros(-(-rows // 32) * 32, dtype=np.uint8)
    bits[may] = 1
    mask = np.packbits(bits, bitorder="little").view("<i4").astype(np.int32)
    torch.manual_seed(rows)
    logits = torch.randn(rows) * 3
    left = torch.full((rows,), -torch.inf)
    left[may] = logits[may]
    before = logits.clone()
    for sampling in (
        Sampling(temperature=0),
        Sampling(seed=4),
        Sampling(seed=4, top_k=3, top_p=0.5),
    ):
        masked = Sampler(sampling, forbidden_tensor([]))
        cut = Sampler(sampling, forbidden_tensor([]))
        drawn = [sampled(masked, logits, mask) for _ in range(20)]
        assert drawn == [sampled(cut, left) for _ in range(20)]
        assert set(drawn) <= set(may)
    assert torch.equal(logits, before)


class Scripted:
    """A matcher that allows one token after the other, and is ready when a test says so."""

    def __init__(self, *script: int, ready: bool = True, breaks: bool = False) -> None:
        self.script = list(script)
        self.ready = ready
        self.breaks = breaks

    def mask(self) -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
        if self.breaks and len(self.script) == 1:
            raise ConstraintBroken("it broke")
        mask = np.zeros(4, dtype=np.int32)
        mask[self.script[0] // 32] = 1 << self.script[0] % 32
        return mask

    @property
    def complete(self) -> bool:
        return not self.script

    def advance(self, token: int) -> None:
        assert token == self.script.pop(0)


def constrained(name: str, *matchers: Scripted, max_tokens: int = 9) -> Submit:
    branches = tuple(Branch(Sampling(), SilentWatcher(), matcher) for matcher in matchers)
    return Submit(name, None, ((1, 2),), branches, max_tokens, frozenset())


def free(name: str) -> Submit:
    branch = Branch(Sampling(temperature=0), SilentWatcher())
    return Submit(name, None, ((1, 2),), (branch,), 9, frozenset())


def test_an_answer_that_is_complete_ends_without_a_stop_token() -> None:
    eng = engine()
    eng.submit(constrained("a", Scripted(5, 7, 30)))
    events = run(eng)
    assert tokens(events, "a") == [5, 7, 30]
    end = finished(events, "a")
    assert (end.reason, end.sampled, end.stop_token) == ("stop", 3, None)
    assert end.snapshot is not None
    assert end.snapshot.fed.to_list() == [1, 2, 5, 7, 30]


def test_an_answer_that_is_cut_says_so_and_a_complete_one_does_not() -> None:
    eng = engine()
    eng.submit(constrained("cut", Scripted(5, 7, 30), max_tokens=2))
    eng.submit(constrained("whole", Scripted(5, 7, 30), max_tokens=3))
    events = run(eng)
    assert finished(events, "cut").reason == "length"
    assert finished(events, "whole").reason == "stop"


def test_each_branch_has_a_matcher_of_its_own() -> None:
    eng = engine()
    eng.submit(constrained("a", Scripted(5, 7), Scripted(6, 8, 9)))
    events = run(eng)
    assert tokens(events, "a", 0) == [5, 7]
    assert tokens(events, "a", 1) == [6, 8, 9]


def test_a_constraint_changes_nothing_beside_it() -> None:
    alone = engine()
    alone.submit(free("b"))
    expected = tokens(run(alone), "b")
    eng = engine()
    eng.submit(constrained("a", Scripted(5, 7, 30)))
    eng.submit(free("b"))
    assert tokens(run(eng), "b") == expected


def test_a_constraint_that_breaks_fails_its_request_only() -> None:
    eng = engine()
    eng.submit(constrained("a", Scripted(5, 7, 30, breaks=True)))
    eng.submit(free("b"))
    events = run(eng)
    assert [event.request for event in events if isinstance(event, Failed)] == ["a"]
    assert len(tokens(events, "b")) == 9


def test_a_constraint_that_breaks_blames_the_field_that_asked_for_it() -> None:
    eng = engine()
    asked = replace(constrained("a", Scripted(5, 7, 30, breaks=True)), form="guided_grammar")
    eng.submit(asked)
    assert [e.form for e in run(eng) if isinstance(e, Failed)] == ["guided_grammar"]


def test_a_mask_that_is_slow_holds_nobody_else_back() -> None:
    eng, slow = engine(CountingModel()), Scripted(5, 7, 30, ready=False)
    eng.submit(constrained("a", slow))
    eng.submit(free("b"))
    events = [event for _ in range(6) for event in eng.step()]
    assert tokens(events, "a") == []
    assert len(tokens(events, "b")) >= 4
    slow.ready = True
    assert tokens(run(eng), "a") == [5, 7, 30]


def test_a_mask_that_everybody_waits_for_is_waited_for() -> None:
    eng = engine()
    eng.submit(constrained("a", Scripted(5, 7, 30, ready=False)))
    assert tokens(run(eng, limit=10), "a") == [5, 7, 30]
