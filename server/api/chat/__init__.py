"""OpenAI's chat completions: asked, and those that were stored."""

from fastapi import APIRouter

from server.api.chat import routes, stored

__all__ = ["router"]

router = APIRouter()
router.include_router(routes.router)
router.include_router(stored.router)
