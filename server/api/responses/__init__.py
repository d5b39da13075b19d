"""OpenAI's Responses: answers that can be stored, continued, and waited for elsewhere."""

from server.api.responses.routes import router

__all__ = ["router"]
