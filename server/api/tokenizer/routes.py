"""POST /tokenize and /detokenize, GET /tokenizer_info: what a model makes of text.

In the shapes of vLLM, which lm-evaluation-harness reads as its remote tokenizer. No weights are
needed, so no model is loaded for it.
"""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from models.tokenizer import TokenizerError
from server.api.chat.message import conversation
from server.api.chat.turn import asked_thinking
from server.api.context import Context, Served
from server.api.going_on import check_answer_begun
from server.api.logprobs import token_text
from server.api.outgoing import ClosedModel
from server.api.sampling import check_ids
from server.api.strict_json import JsonRoute
from server.api.tokenizer.request import DetokenizeBody, TokenizeBody
from server.api.tools.chat import asked_choice, asked_tools
from server.chat.aside import aside
from server.chat.served import ServedModel
from server.chat.tools import toolbox
from server.chat.types import TurnRequest
from server.errors import InvalidRequest

router = APIRouter(route_class=JsonRoute, tags=["tokenizer"])


class Tokenized(ClosedModel):
    """Ids; max_model_len is null where there is no limit, and token_strs where unasked."""

    count: int
    max_model_len: int | None
    tokens: list[int]
    token_strs: list[str] | None = None


class Detokenized(ClosedModel):
    """Text of ids."""

    prompt: str


class TokenizerInfo(ClosedModel):
    """What Hugging Face's tokenizer_config.json calls these things.

    eos_token: a name for the end of a text. There is no beginning of a text, and no padding.
    """

    model: str
    tokenizer_class: str
    vocab_size: int
    model_max_length: int | None
    eos_token: str
    eos_token_id: int
    bos_token: None = None
    pad_token: None = None
    unk_token: None = None
    add_bos_token: bool = False
    add_eos_token: bool = False
    chat_template: str | None


@router.post("/tokenize", response_model=Tokenized)
async def tokenize(body: TokenizeBody, request: Request, context: Served) -> Response:
    """The ids of a text, or of the prompt that a conversation makes."""
    body.check_form()
    model = _find_model(context, body.model)
    caller: str = request.state.caller

    def work() -> Response:
        given = body.prompt
        ids = _chat_ids(model, body, caller) if given is None else _text_ids(model, given)
        strings = [_written(model, id) for id in ids] if body.return_token_strs else None
        limit = context.max_prompt_tokens or None
        return _json(Tokenized(count=len(ids), max_model_len=limit, tokens=ids, token_strs=strings))

    return await aside(work, body.size)


@router.post("/detokenize", response_model=Detokenized)
async def detokenize(body: DetokenizeBody, context: Served) -> Response:
    """The text of ids; bytes that are not UTF-8 become U+FFFD."""
    model = _find_model(context, body.model)

    def work() -> Response:
        check_ids(body.tokens, "tokens", model.spec.vocab_size)
        return _json(Detokenized(prompt=_text(model, body.tokens)))

    return await aside(work, len(body.tokens))


@router.get("/tokenizer_info")
async def tokenizer_info(context: Served, model: str | None = None) -> TokenizerInfo:
    """How a model's tokenizer is called, and what ends a text for it."""
    served = _find_model(context, model)
    return TokenizerInfo(
        model=served.id,
        tokenizer_class=served.tokenizer.name,
        vocab_size=served.spec.vocab_size,
        model_max_length=context.max_prompt_tokens or None,
        eos_token=served.tokenizer.eos_name,
        eos_token_id=served.tokenizer.eos_id,
        chat_template=served.template.jinja,
    )


def _find_model(context: Context, id: str | None) -> ServedModel:
    """The first model, where none is named. Raises NotFound."""
    catalogue = context.catalogue
    return (catalogue.offers[0] if id is None else catalogue.offer(id)).model


def _text_ids(model: ServedModel, text: str) -> list[int]:
    # Clients that know the end of a text by name alone ask so for its id.
    if text == model.tokenizer.eos_name:
        return [model.tokenizer.eos_id]
    try:
        return model.tokenizer.encode(text)
    except TokenizerError as error:
        message = f"prompt cannot be tokenised: {error}"
        raise InvalidRequest(message, param="prompt", code="invalid_value") from error


def _chat_ids(model: ServedModel, body: TokenizeBody, caller: str) -> list[int]:
    messages = conversation(body.messages or ())
    thinking = asked_thinking(body, thinks=model.template.thinks)
    tools = asked_tools(body)
    offered = toolbox(tools, asked_choice(body, tools))
    if body.continue_final_message:
        check_answer_begun(TurnRequest(caller, messages, thinking=thinking))
        layout = model.lay_out(caller, messages, toolbox=offered, goes_on=True)
        return [id for segment in layout.segments for id in model.encode(segment)]
    layout = model.lay_out(caller, messages, thinking, offered)
    alone = body.add_generation_prompt is False
    segments = model.template.told(messages, layout, offered) if alone else layout.segments
    return [id for segment in segments for id in model.encode(segment)]


def _written(model: ServedModel, id: int) -> str:
    tokenizer = model.tokenizer
    return tokenizer.eos_name if id == tokenizer.eos_id else token_text(id, _bytes(model, id))


def _text(model: ServedModel, ids: list[int]) -> str:
    if not model.tokenizer.vocab_size:
        message = f"The model {model.id!r} has no text: its ids stand for nothing but themselves."
        raise InvalidRequest(message, param="model", code="invalid_value")
    return b"".join(_bytes(model, id) for id in ids).decode("utf-8", errors="replace")


def _bytes(model: ServedModel, id: int) -> bytes:
    """Those of an id; of the one that ends a text, those of its name."""
    tokenizer = model.tokenizer
    return tokenizer.eos_name.encode() if id == tokenizer.eos_id else tokenizer.token_bytes(id)


def _json(answer: BaseModel) -> Response:
    """Written where the work is done, as an answer can be as large as a request."""
    return Response(answer.model_dump_json(), media_type="application/json")
