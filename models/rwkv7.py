"""RWKV-7 "Goose": time-mix, channel-mix and the forward over a ragged batch, in plain torch.

Formulas and tensor names: BlinkDL/RWKV-LM (RWKV-v7/rwkv_v7_numpy.py, rwkv_v7_demo.py);
paper: arXiv 2503.14456. Shape letters: see models/base.py. Matrices and activations have the
model's number format; everything next to the wkv state is float32.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models import wkv7
from models.base import ModelSpec, State
from models.ragged import RaggedBatch

LAYER_NORM_EPS = 1e-5
GROUP_NORM_EPS = 64e-5
LOG_DECAY_SCALE = 0.606531  # exp(-0.5): log w = -0.606531·sigmoid(…), as in the reference
CHUNK_SIZE = 32


@dataclass(frozen=True, slots=True)
class Norm:
    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, LAYER_NORM_EPS)


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
class TimeMix:
    """One block's time-mix. `mix` [6,1,C] stacks x_r, x_w, x_k, x_v, x_a, x_g."""

    mix: Tensor
    receptance: Tensor
    key: Tensor
    value: Tensor
    output: Tensor
    decay: LowRank
    rate: LowRank
    residual: LowRank | None
    gate_down: Tensor
    gate_up: Tensor
    k_k: Tensor
    k_a: Tensor
    r_k: Tensor
    ln_x: Norm

    def __call__(
        self,
        x: Tensor,
        batch: RaggedBatch,
        shift: Tensor,
        wkv: Tensor,
        v_first: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """x [T,C] → (its contribution [T,C], v of layer 0 [T,C] float32 for later layers)."""
        xr, xw, xk, xv, xa, xg = torch.addcmul(x, batch.shift(x, shift) - x, self.mix)
        r, k, v = (F.linear(*pair).float() for pair in self._projections(xr, xk, xv))
        rate = self.rate(xa).sigmoid()
        if self.residual is not None and v_first is not None:
            v = torch.lerp(v, v_first, self.residual(xv).sigmoid())
        heads, size = self.r_k.shape
        kk = F.normalize((k * self.k_k).view(-1, heads, size), dim=-1)
        k = k * (1 + (rate - 1) * self.k_a)
        log_w = -LOG_DECAY_SCALE * self.decay(xw, tanh=True).sigmoid()
        r, log_w, k, split_v, rate = (t.view(-1, heads, size) for t in (r, log_w, k, v, rate))
        y = _wkv(wkv7.WkvInputs(r, log_w, k, split_v, kk, kk * rate), wkv, batch)
        y = self._normalise(y) + ((r * k * self.r_k).sum(-1, keepdim=True) * split_v).flatten(1)
        gate = (xg @ self.gate_down).sigmoid() @ self.gate_up
        return F.linear(y.to(gate.dtype) * gate, self.output), v if v_first is None else v_first

    def _projections(self, xr: Tensor, xk: Tensor, xv: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        return (xr, self.receptance), (xk, self.key), (xv, self.value)

    def _normalise(self, y: Tensor) -> Tensor:
        norm = self.ln_x
        return F.group_norm(y.flatten(1), y.shape[1], norm.weight, norm.bias, GROUP_NORM_EPS)


@dataclass(frozen=True, slots=True)
class ChannelMix:
    """One block's channel-mix: relu(mixed·keyᵀ)²·valueᵀ; key [F,C], value [C,F]."""

    mix: Tensor
    key: Tensor
    value: Tensor

    def __call__(self, x: Tensor, batch: RaggedBatch, shift: Tensor) -> Tensor:
        mixed = torch.addcmul(x, batch.shift(x, shift) - x, self.mix)
        return F.linear(F.linear(mixed, self.key).relu_().square_(), self.value)


@dataclass(frozen=True, slots=True)
class Block:
    ln1: Norm
    time_mix: TimeMix
    ln2: Norm
    channel_mix: ChannelMix


class Rwkv7:
    """A loaded RWKV-7 checkpoint; implements models.base.Model.

    `tensors` has the official names; matrices in the wanted number format and everything on
    the wanted device already. Block 0's ln0 is applied to the embedding here, once.
    """

    def __init__(self, spec: ModelSpec, tensors: Mapping[str, Tensor]) -> None:
        self._spec = spec
        ln0 = _norm(tensors, "blocks.0.ln0")
        self._embedding = ln0(tensors["emb.weight"])
        self._blocks = [_block(tensors, f"blocks.{i}.", spec) for i in range(spec.layers)]
        self._ln_out = _norm(tensors, "ln_out")
        self._head = tensors["head.weight"]

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def device(self) -> torch.device:
        return self._head.device

    @property
    def dtype(self) -> torch.dtype:
        return self._head.dtype

    def new_state(self, batch: int) -> State:
        spec = self._spec
        shift = (spec.layers, batch, spec.width)
        wkv = (spec.layers, batch, spec.heads, spec.head_size, spec.head_size)
        return State(
            att_shift=torch.zeros(shift, dtype=self.dtype, device=self.device),
            wkv=torch.zeros(wkv, dtype=torch.float32, device=self.device),
            ffn_shift=torch.zeros(shift, dtype=self.dtype, device=self.device),
        )

    @torch.inference_mode()
    def forward(self, tokens: Tensor, lengths: Sequence[int], state: State) -> Tensor:
        batch = RaggedBatch.of(lengths, chunk_size=CHUNK_SIZE, device=self.device)
        x = self._embedding[tokens.to(self.device)]
        v_first: Tensor | None = None
        for i, block in enumerate(self._blocks):
            mixed, v_first = block.time_mix(
                block.ln1(x), batch, state.att_shift[i], state.wkv[i], v_first
            )
            x = x + mixed
            x = x + block.channel_mix(block.ln2(x), batch, state.ffn_shift[i])
        return F.linear(self._ln_out(x[batch.ends]), self._head).float()


def _wkv(inputs: wkv7.WkvInputs, state: Tensor, batch: RaggedBatch) -> Tensor:
    """Decode rows by one step, the others by the chunked scan; y [T,H,N]."""
    if batch.chunks is None:
        return wkv7.step(inputs, state)
    scanned = wkv7.scan(inputs, state, batch.chunks)
    if batch.decode == 0:
        return scanned
    return torch.cat((wkv7.step(inputs.head(batch.decode), state[: batch.decode]), scanned))


def _norm(tensors: Mapping[str, Tensor], name: str) -> Norm:
    return Norm(tensors[name + ".weight"].flatten(), tensors[name + ".bias"].flatten())


def _block(tensors: Mapping[str, Tensor], prefix: str, spec: ModelSpec) -> Block:
    return Block(
        ln1=_norm(tensors, prefix + "ln1"),
        time_mix=_time_mix(tensors, prefix + "att.", spec),
        ln2=_norm(tensors, prefix + "ln2"),
        channel_mix=ChannelMix(
            mix=tensors[prefix + "ffn.x_k"].flatten(),
            key=tensors[prefix + "ffn.key.weight"],
            value=tensors[prefix + "ffn.value.weight"],
        ),
    )


def _time_mix(tensors: Mapping[str, Tensor], prefix: str, spec: ModelSpec) -> TimeMix:
    def vector(name: str) -> Tensor:
        return tensors[prefix + name].float().flatten()

    def low_rank(letter: str) -> LowRank:
        down, up = tensors[prefix + letter + "1"], tensors[prefix + letter + "2"]
        return LowRank(vector(letter + "0"), down, up)

    mix = torch.stack([tensors[prefix + "x_" + letter].flatten() for letter in "rwkvag"])
    has_residual = prefix != "blocks.0.att."
    return TimeMix(
        mix=mix.unsqueeze(1),
        receptance=tensors[prefix + "receptance.weight"],
        key=tensors[prefix + "key.weight"],
        value=tensors[prefix + "value.weight"],
        output=tensors[prefix + "output.weight"],
        decay=low_rank("w"),
        rate=low_rank("a"),
        residual=low_rank("v") if has_residual else None,
        gate_down=tensors[prefix + "g1"],
        gate_up=tensors[prefix + "g2"],
        k_k=vector("k_k"),
        k_a=vector("k_a"),
        r_k=vector("r_k").view(spec.heads, spec.head_size),
        ln_x=Norm(vector("ln_x.weight"), vector("ln_x.bias")),
    )
