"""Stand-ins for the model and the text side, with behaviour a test can predict."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.base import ModelSpec, State
from models.tokenizer import TokenizerError
from server.engine.messages import Watched


class CountingModel:
    """A model whose logits say what it was fed: the next id is (sum of all fed ids) mod V.

    wkv[0,b,0,0,0] holds the running sum, so a state that is mixed up shows at once.
    `fail_on` makes a forward that contains this token raise.
    """

    def __init__(self, vocab_size: int = 97, fail_on: int | None = None) -> None:
        self.spec = ModelSpec("7", 1, 4, 1, 4, 16, vocab_size, 0, "counting")
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self.fail_on = fail_on
        self.steps: list[tuple[int, ...]] = []

    def new_state(self, batch: int) -> State:
        shift = torch.zeros(1, batch, 4)
        return State(shift, torch.zeros(1, batch, 1, 4, 4), shift.clone())

    def forward(
        self, tokens: Tensor, lengths: Sequence[int], state: State, *, every: bool = False
    ) -> Tensor:
        if self.fail_on is not None and self.fail_on in tokens:
            raise RuntimeError("forward broke")
        self.steps.append(tuple(lengths))
        parts = tokens.split(list(lengths))
        before = state.wkv[0, :, 0, 0, 0].clone()
        sums = torch.cat(
            [start + part.cumsum(0) for start, part in zip(before, parts, strict=True)]
        )
        ends = torch.tensor(lengths).cumsum(0) - 1
        state.wkv[0, :, 0, 0, 0] = sums[ends]
        shown = sums if every else sums[ends]
        logits = torch.full((len(shown), self.spec.vocab_size), -1e4)
        logits[range(len(shown)), shown.long() % self.spec.vocab_size] = 0
        return logits


class SilentWatcher:
    """Delivers every token as its number and never stops."""

    def __init__(self) -> None:
        self.count = 0

    def push(self, token: int) -> Watched:
        self.count += 1
        return Watched(f"{token} ", self.count)

    def close(self) -> str:
        return ""


class ByteTokenizer:
    """Id 0 ends a text, id b + 1 is byte b, and further ids are `pieces`, which it never writes."""

    name = "bytes"
    fingerprint = "bytes"
    eos_id = 0
    eos_name = "<|end|>"

    def __init__(self, pieces: Sequence[bytes] = ()) -> None:
        self._table = [b"", *(bytes([b]) for b in range(256)), *pieces]

    @property
    def vocab_size(self) -> int:
        return len(self._table)

    def encode(self, text: str) -> list[int]:
        try:
            return [byte + 1 for byte in text.encode("utf-8")]
        except UnicodeEncodeError as error:
            raise TokenizerError("the text holds a lone surrogate") from error

    def token_bytes(self, token_id: int) -> bytes:
        return self._table[token_id] if token_id < len(self._table) else b""

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def padding_ids(self, model_vocab: int) -> list[int]:
        return list(range(len(self._table), model_vocab))


TOKENIZER = ByteTokenizer()


class WritingModel(CountingModel):
    """Writes `script` after every `mark`, and so after a header; None writes random letters.

    wkv[0,b,0,0,1] counts the tokens since the last mark, and [2] those of a mark that has begun,
    of which no part but the whole may begin like it. Needs a ByteTokenizer. `fed` has all ids in
    the order in which they were fed.
    """

    def __init__(self, script: str | None, fail_on: int | None = None, mark: str = ":") -> None:
        super().__init__(vocab_size=257, fail_on=fail_on)
        self.script = script
        self._mark = TOKENIZER.encode(mark)
        self.fed: list[int] = []

    def forward(
        self, tokens: Tensor, lengths: Sequence[int], state: State, *, every: bool = False
    ) -> Tensor:
        super().forward(tokens, lengths, state)
        self.fed += tokens.tolist()
        since, begun = state.wkv[0, :, 0, 0, 1], state.wkv[0, :, 0, 0, 2]
        counts: list[list[int]] = []
        for row, part in enumerate(tokens.split(list(lengths))):
            counts.append([])
            for token in part.tolist():
                goes_on = token == self._mark[int(begun[row])]
                begun[row] = begun[row] + 1 if goes_on else token == self._mark[0]
                whole = begun[row] == len(self._mark)
                since[row], begun[row] = (0, 0) if whole else (since[row] + 1, begun[row])
                counts[-1].append(int(since[row]))
        shown = [count for row in counts for count in (row if every else row[-1:])]
        return torch.stack([self._logits(count) for count in shown])

    def _logits(self, place: int) -> Tensor:
        logits = torch.full((self.spec.vocab_size,), -1e4)
        if self.script is None:
            logits[ord("a") + 1 : ord("z") + 2] = 0
        else:
            written = self.script.encode("utf-8")
            logits[written[place] + 1 if place < len(written) else 0] = 0
        return logits
