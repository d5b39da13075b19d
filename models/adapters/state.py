"""A tuned initial state as a State that a conversation can begin with."""

from models import initial
from models.adapters.adapter import Adapter
from models.adapters.names import AdapterError
from models.base import CheckpointError, Model, State
from models.detect import check


def initial_state(adapter: Adapter, model: Model) -> State:
    """B = 1, on the host; the token shifts are zero, as they were in training.

    Raises AdapterError when the adapter is of another kind, or does not fit the model.
    """
    if adapter.kind != "state":
        raise AdapterError(f"{adapter.path} is no initial state but {adapter.kind}; merge it")
    tensors = adapter.contents().tensors
    try:
        check(tensors, initial.shapes(tensors, model.spec))
    except CheckpointError as error:
        raise AdapterError(f"{adapter.path} does not fit the model: {error}") from error
    wkv = initial.wkv(tensors, model.spec)
    state = model.new_state(1).copy_row(0)
    if wkv is not None:
        state.wkv.copy_(wkv.unsqueeze(1))
    return state
