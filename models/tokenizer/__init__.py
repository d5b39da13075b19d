"""Text to token ids and back: World, custom vocabularies, and any usable `tokenizer.json`."""

from models.tokenizer.base import Tokenizer, TokenizerError
from models.tokenizer.decoder import TextDecoder
from models.tokenizer.load import beside, load

__all__ = ["TextDecoder", "Tokenizer", "TokenizerError", "beside", "load"]
