"""Which instruction sets are offered where the system refuses tiles; trivial without any."""

import subprocess
import sys

from models.native.isa import instruction_sets

# Linux grants tiles only where signals have a stack that is large enough for them.
WITH_A_SMALL_STACK_FOR_SIGNALS = """
import ctypes

class Stack(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

memory = ctypes.create_string_buffer(8192)
stack = Stack(ctypes.addressof(memory), 0, len(memory))
assert ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None) == 0

from models.native.isa import instruction_sets
print(*instruction_sets())
"""


def test_without_leave_for_tiles_the_next_best_set_computes() -> None:
    command = [sys.executable, "-c", WITH_A_SMALL_STACK_FOR_SIGNALS]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert found == [name for name in instruction_sets() if name != "amx"]
