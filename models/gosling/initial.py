"""The initial values of an RWKV-7, as the official trainer sets them.

Source: RWKV-LM, RWKV-v7/train_temp/src/model.py (the values, not the code). Channel c of C lies at
c/(C-1); the shift mixes, decays and gates start on curves over the channels that depend on the
depth of the layer.
"""

import math

import torch
from torch import Tensor, nn

from models.gosling.network import Network, Sizes, TimeMix

SHIFT_POWERS = {"r": 0.2, "w": 0.9, "k": 0.7, "v": 0.7, "a": 0.9, "g": 0.2}


@torch.no_grad()
def initialise(network: Network, seed: int) -> None:
    """Sets every parameter from `seed`; the global random state of torch moves."""
    torch.manual_seed(seed)
    sizes = network.sizes
    for layer, block in enumerate(network.layers):
        _time_mix(block.att, sizes, layer)
        block.ffn.x_k.copy_(1 - _ramp(sizes.width) ** ((1 - layer / sizes.layers) ** 4))
        nn.init.orthogonal_(block.ffn.key.weight)
        nn.init.zeros_(block.ffn.value.weight)
    nn.init.uniform_(network.emb.weight, -1e-4, 1e-4)
    ratio = sizes.vocabulary / sizes.width
    nn.init.orthogonal_(network.head.weight, gain=0.5 * math.sqrt(max(ratio, 1.0)))


def _time_mix(att: TimeMix, sizes: Sizes, layer: int) -> None:
    depth = layer / max(sizes.layers - 1, 1)
    height = 1 - layer / sizes.layers
    for name, power in SHIFT_POWERS.items():
        getattr(att, f"x_{name}").copy_(1 - _ramp(sizes.width) ** (power * height))
    place = torch.arange(sizes.width) / (sizes.width - 1)
    within = torch.arange(sizes.width) % sizes.head_size
    middle = (sizes.head_size - 1) / 2
    zigzag = (within - middle) / middle
    zigzag = zigzag * zigzag.abs()
    att.w0.copy_(-5.5 + 6 * place ** (1 + depth**0.3) + 2.5 * zigzag)
    att.a0.copy_(-0.19 + 0.3 * zigzag + 0.4 * (place - 0.5))
    att.k_k.copy_(0.71 - 0.1 * (place - 0.5))
    att.k_a.fill_(1.02)
    att.r_k.fill_(-0.04)
    if layer > 0:
        att.v0.copy_(0.73 - 0.4 * (place - 0.5))
    _matrices(att, layer)
    att.ln_x.weight.fill_(((1 + layer) / sizes.layers) ** 0.7)
    att.ln_x.bias.zero_()


def _matrices(att: TimeMix, layer: int) -> None:
    for name in "wag" if layer == 0 else "wavg":
        nn.init.zeros_(getattr(att, f"{name}1"))
        nn.init.orthogonal_(getattr(att, f"{name}2"), gain=0.1)
    nn.init.orthogonal_(att.receptance.weight)
    nn.init.orthogonal_(att.key.weight, gain=0.1)
    nn.init.orthogonal_(att.value.weight)
    nn.init.zeros_(att.output.weight)


def _ramp(width: int) -> Tensor:
    return torch.arange(width) / width
