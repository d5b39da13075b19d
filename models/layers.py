"""What the generations share: norms, low ranks, channel-mix, and the walk over the blocks.

Shape letters: see models/base.py. Matrices and activations have the model's number format;
everything next to the wkv state is float32. A generation's file adds its time-mix and says how
a block is built from named tensors.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from models import initial
from models.base import ModelSpec, State
from models.ragged import RaggedBatch

LAYER_NORM_EPS = 1e-5
GROUP_NORM_EPS = 64e-5
CHUNK_SIZE = 32
RESCALE_EVERY = 6  # layers after which float16 halves what flows between the blocks
_ADDING = re.compile(r"blocks\.(\d+)\.(att\.output|ffn\.value)\.weight")


@dataclass(frozen=True, slots=True)
class Norm:
    """LayerNorm over the last dimension."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, LAYER_NORM_EPS)


@dataclass(frozen=True, slots=True)
class HeadNorm:
    """GroupNorm of every head by itself: y [T,H,N] → [T,C], all float32."""

    weight: Tensor
    bias: Tensor

    def __call__(self, y: Tensor) -> Tensor:
        return F.group_norm(y.flatten(1), y.shape[1], self.weight, self.bias, GROUP_NORM_EPS)


@dataclass(frozen=True, slots=True)
class LowRank:
    """bias + f(x·down)·up, float32 out: down [C,D], up [D,C], bias [C] float32."""

    bias: Tensor
    down: Tensor
    up: Tensor

    def __call__(self, x: Tensor, *, tanh: bool = False) -> Tensor:
        inner = x @ self.down
        return self.bias + ((inner.tanh() if tanh else inner) @ self.up).float()


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors whose names begin with `prefix`, by the rest of their names."""

    tensors: Mapping[str, Tensor]
    prefix: str = ""

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[self.prefix + name]

    def __contains__(self, name: str) -> bool:
        return self.prefix + name in self.tensors

    def under(self, prefix: str) -> "Weights":
        return Weights(self.tensors, self.prefix + prefix)

    def vector(self, name: str) -> Tensor:
        """Float32 and flat."""
        return self[name].float().flatten()

    def stack(self, names: Sequence[str]) -> Tensor:
        """Vectors on top of each other, [K,1,C], in the model's number format."""
        return torch.stack([self[name].flatten() for name in names]).unsqueeze(1)

    def norm(self, name: str) -> Norm:
        return Norm(self[name + ".weight"].flatten(), self[name + ".bias"].flatten())

    def head_norm(self, name: str) -> HeadNorm:
        return HeadNorm(self.vector(name + ".weight"), self.vector(name + ".bias"))

    def low_rank(self, bias: str, down: str, up: str) -> LowRank:
        return LowRank(self.vector(bias), self[down], self[up])


@dataclass(slots=True)
class Step:
    """What the layers of one forward share; `v_first` is set by layer 0 of RWKV-7 alone."""

    batch: RaggedBatch
    v_first: Tensor | None = None


class TimeMix(Protocol):
    def __call__(self, x: Tensor, step: Step, shift: Tensor, wkv: Tensor) -> Tensor:
        """x [T,C] → its contribution [T,C]; this layer's `shift` and `wkv` are updated."""
        ...


class ChannelMix(Protocol):
    def __call__(self, x: Tensor, batch: RaggedBatch, shift: Tensor) -> Tensor:
        """x [T,C] → its contribution [T,C]; this layer's `shift` is updated."""
        ...


@dataclass(frozen=True, slots=True)
class GatedChannelMix:
    """Channel-mix of generations 4 to 6: sigmoid(xr·receptanceᵀ)·(relu(xk·keyᵀ)²·valueᵀ).

    mix [2,1,C] is the share of the token before in xk and xr.
    """

    mix: Tensor
    key: Tensor
    value: Tensor
    receptance: Tensor

    def __call__(self, x: Tensor, batch: RaggedBatch, shift: Tensor) -> Tensor:
        xk, xr = torch.addcmul(x, batch.shift(x, shift) - x, self.mix)
        inner = F.linear(xk, self.key).relu_().square_()
        return F.linear(xr, self.receptance).sigmoid_() * F.linear(inner, self.value)


def gated_channel_mix(weights: Weights, mix: Tensor) -> GatedChannelMix:
    """From `blocks.i.ffn.`; mix: see GatedChannelMix."""
    matrices = (weights[f"{name}.weight"] for name in ("key", "value", "receptance"))
    return GatedChannelMix(mix, *matrices)


@dataclass(frozen=True, slots=True)
class Block:
    ln1: Norm
    time_mix: TimeMix
    ln2: Norm
    channel_mix: ChannelMix


class Network(ABC):
    """Embedding, blocks and head: models.base.Model, but for how a block is built.

    `tensors` has the official names, and what `prepared` made of them. Networks never write to
    them, so that those of one checkpoint with different adapters may share them.
    """

    rescales: ClassVar[bool] = True
    """Whether float16 needs smaller activations in deep layers than the other formats."""

    def __init__(self, spec: ModelSpec, tensors: Mapping[str, Tensor]) -> None:
        weights = Weights(tensors)
        self._spec = spec
        self.tensors = tensors
        self._head = tensors["head.weight"]
        self._embedding = tensors["emb.weight"]
        self._halves = self.rescales and self.dtype == torch.float16
        self._wkv = initial.wkv(tensors, spec)
        self._blocks = [self._block(weights.under(f"blocks.{i}.")) for i in range(spec.layers)]
        self._ln_out = weights.norm("ln_out")

    @classmethod
    def prepared(cls, name: str, tensors: Mapping[str, Tensor]) -> Tensor:
        """What a network keeps of a tensor, which may be written to.

        tensors: a checkpoint's, in the wanted number format and on the wanted device. Block 0's
        ln0 is applied to the embedding once and for all, and in float16 later layers add less,
        by as much as what they add it to has been halved.
        """
        tensor = tensors[name]
        if name == "emb.weight":
            return Weights(tensors).norm("blocks.0.ln0")(tensor)
        if cls.rescales and tensor.dtype == torch.float16 and (adding := _ADDING.fullmatch(name)):
            return tensor.div_(2 ** (int(adding[1]) // RESCALE_EVERY))
        return tensor

    @staticmethod
    def affected(names: Collection[str]) -> set[str]:
        """Which tensors have to be prepared anew when those called `names` are others."""
        first_norm = {name for name in names if name.startswith("blocks.0.ln0.")}
        return {*names, "emb.weight"} if first_norm else set(names)

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def device(self) -> torch.device:
        return self._head.device

    @property
    def dtype(self) -> torch.dtype:
        return self._head.dtype

    @property
    def spare_tokens(self) -> int:
        return 0

    def new_state(self, batch: int) -> State:
        shift = (self._spec.layers, batch, self._spec.width)
        wkv = (self._spec.layers, batch, *self._wkv_shape())
        state = State(
            att_shift=torch.zeros(shift, dtype=self.dtype, device=self.device),
            wkv=torch.zeros(wkv, dtype=torch.float32, device=self.device),
            ffn_shift=torch.zeros(shift, dtype=self.dtype, device=self.device),
        )
        if self._wkv is not None:
            state.wkv.copy_(self._wkv.unsqueeze(1).expand_as(state.wkv))
        return state

    @torch.inference_mode()
    def forward(
        self, tokens: Tensor, lengths: Sequence[int], state: State, *, every: bool = False
    ) -> Tensor:
        step = Step(RaggedBatch.of(lengths, chunk_size=CHUNK_SIZE, device=self.device))
        x = self._embedding[tokens.to(self.device)]
        for i, block in enumerate(self._blocks):
            x = x + block.time_mix(block.ln1(x), step, state.att_shift[i], state.wkv[i])
            x = x + block.channel_mix(block.ln2(x), step.batch, state.ffn_shift[i])
            if self._halves and (i + 1) % RESCALE_EVERY == 0:
                x = x / 2
        return F.linear(self._ln_out(x if every else x[step.batch.ends]), self._head).float()

    def _block(self, weights: Weights) -> Block:
        return Block(
            ln1=weights.norm("ln1"),
            time_mix=self._time_mix(weights.under("att.")),
            ln2=weights.norm("ln2"),
            channel_mix=self._channel_mix(weights.under("ffn.")),
        )

    def _wkv_shape(self) -> tuple[int, ...]:
        """Of one layer's wkv state of one sequence."""
        return self._spec.heads, self._spec.head_size, self._spec.head_size

    @abstractmethod
    def _time_mix(self, weights: Weights) -> TimeMix:
        """From `blocks.i.att.`."""

    @abstractmethod
    def _channel_mix(self, weights: Weights) -> ChannelMix:
        """From `blocks.i.ffn.`."""
