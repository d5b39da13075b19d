"""What a text is in tokens, and tokens in text."""

from server.api.tokenizer.routes import router

__all__ = ["router"]
