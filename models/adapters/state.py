"""A tuned initial state as a State that a conversation can begin with."""

from torch import Tensor

from models import initial
from models.adapters.adapter import Adapter
from models.adapters.names import AdapterError
from models.base import CheckpointError, Model, ModelSpec, State
from models.detect import check


def initial_state(adapter: Adapter, model: Model) -> State:
    """B = 1, on the host; the token shifts are zero, as they were in training.

    Raises AdapterError when the adapter is of another kind, or does not fit the model.
    """
    wkv = initial_wkv(adapter, model.spec)
    state = model.new_state(1).copy_row(0)
    state.wkv.copy_(wkv.unsqueeze(1))
    return state


def initial_wkv(adapter: Adapter, spec: ModelSpec) -> Tensor:
    """[L,H,N,N] float32, as the model's generation has it. Raises AdapterError likewise."""
    if adapter.kind != "state":
        raise AdapterError(f"{adapter.path} is no initial state but {adapter.kind}; merge it")
    tensors = adapter.contents().tensors
    try:
        check(tensors, initial.shapes(tensors, spec))
    except CheckpointError as error:
        raise AdapterError(f"{adapter.path} does not fit the model: {error}") from error
    wkv = initial.wkv(tensors, spec)
    assert wkv is not None
    return wkv
