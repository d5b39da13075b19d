"""How an answer is sampled: what the request says, the template, and neither."""

from server.chat.sampling import resolve
from server.chat.template import G1
from server.chat.types import SamplingOptions
from tests.doubles import ByteTokenizer

TOKENIZER = ByteTokenizer()


def test_the_request_comes_before_the_template_and_the_template_before_neutral() -> None:
    chosen = resolve(SamplingOptions(temperature=0.0, top_k=0, seed=5), G1.sampling, TOKENIZER, 9)
    assert (chosen.temperature, chosen.top_p, chosen.top_k, chosen.seed) == (0.0, 0.5, 0, 5)
    assert (chosen.min_p, chosen.repetition_penalty, chosen.penalty_decay) == (0.0, 1.0, 1.0)


def test_without_a_seed_every_request_gets_its_own() -> None:
    seeds = {resolve(SamplingOptions(), G1.sampling, TOKENIZER, 9).seed for _ in range(20)}
    assert len(seeds) == 20
