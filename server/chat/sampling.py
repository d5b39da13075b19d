"""What a request and a template say about sampling, put together."""

import secrets

from server.chat.types import SamplingOptions
from server.engine.messages import Sampling


def resolve(options: SamplingOptions, defaults: SamplingOptions) -> Sampling:
    """What the request says, else what the template says, else neutral; a seed if none."""

    def chosen(name: str, neutral: float) -> float:
        value = getattr(options, name)
        default = getattr(defaults, name)
        return value if value is not None else default if default is not None else neutral

    return Sampling(
        temperature=chosen("temperature", 1.0),
        top_p=chosen("top_p", 1.0),
        top_k=int(chosen("top_k", 0)),
        min_p=chosen("min_p", 0.0),
        presence_penalty=chosen("presence_penalty", 0.0),
        frequency_penalty=chosen("frequency_penalty", 0.0),
        repetition_penalty=chosen("repetition_penalty", 1.0),
        penalty_decay=chosen("penalty_decay", 1.0),
        logit_bias=options.logit_bias,
        seed=options.seed if options.seed is not None else secrets.randbits(63),
    )
