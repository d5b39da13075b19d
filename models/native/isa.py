"""Which instruction set the native library computes in."""

import os

from models.backends import BackendError
from models.native.library import library

ISA_VARIABLE = "RWKV_SERVER_ISA"
_ISAS = ("portable", "avx2", "avx512", "amx", "neon")
# Those that multiply bf16 by bf16; elsewhere activations for bf16 weights are float32.
OF_BF16 = ("avx512", "amx")


def instruction_sets() -> tuple[str, ...]:
    """What this processor runs, the best first."""
    loaded = library()
    return tuple(loaded.rwkv_available().decode().split()) if loaded else ()


def chosen_isa() -> str:
    """The best instruction set, or the one RWKV_SERVER_ISA forces. Raises BackendError."""
    here = instruction_sets()
    asked = os.environ.get(ISA_VARIABLE, "")
    if not asked:
        return here[0]
    if asked not in _ISAS:
        raise BackendError(f"{ISA_VARIABLE} is {asked!r}: use {', '.join(_ISAS)}")
    if asked not in here:
        raise BackendError(
            f"{ISA_VARIABLE} is {asked}, which this processor does not run: use {', '.join(here)}"
        )
    return asked
