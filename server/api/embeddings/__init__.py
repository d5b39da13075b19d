"""OpenAI's embeddings, from the state."""

from server.api.embeddings.routes import router

__all__ = ["router"]
