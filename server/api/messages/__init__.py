"""Anthropic's Messages, for the clients that speak nothing else."""

from server.api.messages.routes import router

__all__ = ["router"]
