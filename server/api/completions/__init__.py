"""OpenAI's completions: text that goes on."""

from server.api.completions.routes import router

__all__ = ["router"]
