"""OpenAI's Conversations: items that are kept by the server."""

from server.api.conversations.routes import router

__all__ = ["router"]
