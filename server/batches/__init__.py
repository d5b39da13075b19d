"""Batches: files of requests that are answered in the background, one by one."""

from server.batches.manager import Batches
from server.batches.record import ENDPOINTS, Batch
from server.batches.run import Answer, Call

__all__ = ["ENDPOINTS", "Answer", "Batch", "Batches", "Call"]
