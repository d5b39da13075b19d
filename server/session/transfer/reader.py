"""A session file to snapshots, piece by piece."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from models.base import ModelSpec, State
from server.engine.snapshot import FedIds, Lines, Snapshot
from server.session.transfer.form import HEADER_BYTES, PARTS, About, TransferError
from server.session.transfer.header import Header, Part, read_header


class Reader:
    """Takes a file piece by piece, and refuses it as soon as it can be told to be none.

    about is there once the header is; expect() then says which model it has to fit, and has to be
    called before anything more is fed. Nothing of a file is believed: a header is short, and has
    every tensor of the model's shapes, in order and without gaps. Raises TransferError.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._head = bytearray()
        self._header: Header | None = None
        self._parts: list[Part] = []
        self._buffers: list[bytearray] = []

    @property
    def about(self) -> About | None:
        return self._header.about if self._header else None

    def feed(self, data: bytes) -> None:
        if self._header is not None:
            return self._fill(memoryview(data))
        self._head += data
        length = int.from_bytes(self._head[:8], "little")
        if len(self._head) >= 8 and not 0 < length <= HEADER_BYTES:
            raise TransferError("it is no session file: the length of its header is not possible")
        if len(self._head) >= 8 + length and len(self._head) > 8:
            self._header = read_header(bytes(self._head[8 : 8 + length]))
            self._head = self._head[8 + length :]

    def expect(self, spec: ModelSpec) -> None:
        """Raises TransferError for a header that does not fit this model."""
        assert self._header is not None
        self._parts = self._header.parts(spec)
        if sum(part.nbytes for part in self._parts) > self._max_bytes:
            raise TransferError("it is larger than what is read here")
        self._fill(memoryview(bytes(self._head)))
        self._head = bytearray()

    def close(self, spec: ModelSpec) -> list[Snapshot]:
        """The snapshots, after the last piece. Blocks while all is looked at."""
        if self._header is None or len(self._buffers) != len(self._parts) or not self._whole:
            raise TransferError("it ends too early")
        digest = hashlib.blake2b(digest_size=16)
        for buffer in self._buffers:
            digest.update(buffer)
        if digest.hexdigest() != self._header.digest:
            raise TransferError("its contents are damaged")
        tensors = [
            torch.frombuffer(buffer, dtype=part.dtype).reshape(part.shape)
            for buffer, part in zip(self._buffers, self._parts, strict=True)
        ]
        step = len(PARTS)
        return [_snapshot(tensors[i : i + step], spec) for i in range(0, len(tensors), step)]

    @property
    def _whole(self) -> bool:
        return len(self._buffers[-1]) == self._parts[len(self._buffers) - 1].nbytes

    def _fill(self, data: memoryview) -> None:
        while len(data):
            if not self._buffers or self._whole:
                if len(self._buffers) == len(self._parts):
                    raise TransferError("there is more in it than its header says")
                self._buffers.append(bytearray())
            part, buffer = self._parts[len(self._buffers) - 1], self._buffers[-1]
            room = part.nbytes - len(buffer)
            buffer += data[:room]
            data = data[room:]


def _snapshot(tensors: Sequence[Tensor], spec: ModelSpec) -> Snapshot:
    wkv, logits, att_shift, ffn_shift, fed, told = tensors
    if not all(bool(torch.isfinite(tensor).all()) for tensor in (wkv, att_shift, ffn_shift)):
        raise TransferError("a state has numbers that are infinite or none")
    if bool((torch.isnan(logits) | (logits == torch.inf)).any()) or not bool(
        torch.isfinite(logits).any()
    ):
        raise TransferError("logits have numbers that are infinite or none")
    if int(fed.min()) < 0 or int(fed.max()) >= spec.vocab_size:
        raise TransferError("a token id is outside of the vocabulary")
    state = State(att_shift, wkv, ffn_shift)
    return Snapshot(state, logits, FedIds.of_tensor(fed), Lines(told.numpy().tobytes()))
