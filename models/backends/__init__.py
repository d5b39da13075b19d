"""Where a model computes: picks the device and says why."""

from models.backends.select import Backend, BackendError, select

__all__ = ["Backend", "BackendError", "select"]
