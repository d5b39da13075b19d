"""What a caller has stored: answers and conversations, and how a request goes on from them."""

from server.api.stored.conversations import Conversations
from server.api.stored.documents import Kind, Stored
from server.api.stored.history import Earlier, read_history

__all__ = ["Conversations", "Earlier", "Kind", "Stored", "read_history"]
