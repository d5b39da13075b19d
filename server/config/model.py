"""The settings of models and of what is made from them: what is loaded, and how."""

from typing import Annotated, Literal

from pydantic import Field

from server.config.about import About, Section, Unset


class AnyModel(Section):
    """What every model has."""

    path: Annotated[
        str,
        Field(min_length=1),
        About(
            "The model to serve",
            "the name of a bundled or pulled model, or the path of a checkpoint file or folder",
            "the bundled demo model answers at once, without a download",
            flag="--model",
            alias="RWKV_SERVER_MODEL",
        ),
    ] = "gosling"
    id: Annotated[
        str | None,
        Unset,
        About(
            "The name clients see in /v1/models and send as `model`",
            "a string (empty = the short name, or the file's name without its ending)",
            "the file's name is what people know a checkpoint by",
        ),
    ] = None
    tokenizer: Annotated[
        str | None,
        Unset,
        About(
            "Tokenizer: a file, or one that needs none",
            "a path, world, bytes (every id is a byte) or ids (no text: clients send token ids); "
            "empty = the file beside the model, else world",
            "nearly every RWKV checkpoint uses the World vocabulary",
            flag="--tokenizer",
        ),
    ] = None
    template: Annotated[
        str,
        Field(min_length=1),
        About(
            "Chat template",
            "auto (chosen by the model), g1, world, raven, alpaca, or the path of a .jinja file",
            "a wrong template spoils every answer, and the model's file tells which one fits",
            flag="--template",
        ),
    ] = "auto"
    keep_thinking: Annotated[
        bool,
        About(
            "Whether a conversation's state remembers what was thought before its answers",
            "true or false (false reads every answer again without its thoughts)",
            "the state that did the thinking is there already, and a follow-up may need it",
        ),
    ] = True
    dtype: Annotated[
        Literal["auto", "float32", "bf16", "fp16", "int8", "w8a8", "int4"],
        About(
            "Number format of the weights; the recurrent state is always float32",
            "auto, float32, bf16, fp16, int8, w8a8 or int4",
            "auto takes what the device computes fastest without losing quality; the last three "
            "are for the CPU: int8 is half the size of bf16, w8a8 (int8 with 8-bit activations) "
            "reads prompts faster, int4 is smallest and loses most",
            flag="--dtype",
            alias="RWKV_SERVER_DTYPE",
        ),
    ] = "auto"


class ModelSettings(AnyModel):
    """What is loaded at the start, and how."""

    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        About(
            "Where the model runs",
            "auto, cpu or cuda",
            "auto takes the GPU where torch sees one",
            flag="--device",
            alias="RWKV_SERVER_DEVICE",
        ),
    ] = "auto"
    threads: Annotated[
        int,
        Field(ge=0),
        About(
            "CPU threads the model computes with",
            "a number of threads (0 = one for each core this process may use by its affinity and "
            "quota, and a single one "
            "for a model under 10 million parameters)",
            "more threads than cores only wait for each other",
        ),
    ] = 0


class ModelEntry(AnyModel):
    """One more model to serve, loaded when it is first asked for; one table for each."""

    path: Annotated[
        str,
        Field(min_length=1),
        About(
            "The model to serve",
            "the name of a bundled or pulled model, or the path of a checkpoint file or folder",
            "there is no telling which one is meant",
            example="g1-1.5b",
        ),
    ]


class AdapterSettings(Section):
    """A fine-tuning or a tuned initial state of a model, called MODEL:NAME; one table for each."""

    name: Annotated[
        str,
        Field(pattern=r"^[\w.-]+$"),
        About(
            "What follows the model's name and a colon in the name clients send",
            "letters, digits, dots, hyphens and underscores",
            "there is no telling what it is for",
            example="poet",
        ),
    ]
    path: Annotated[
        str,
        Field(min_length=1),
        About(
            "The adapter: a tuned initial state, LoRA, PiSSA, or DiSHA",
            "the path of its file",
            "there is no telling which one is meant",
            example="poet.pth",
        ),
    ]
    model: Annotated[
        str | None,
        Unset,
        About(
            "The model it was made for",
            "the name clients send for that model (empty = the one of [model])",
            "most servers have one model",
        ),
    ] = None
    alpha: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
        Unset,
        About(
            "The lora_alpha it was trained with",
            "a number above 0 (empty for adapters other than LoRA)",
            "a LoRA's file does not tell it, and a wrong one spoils every answer",
        ),
    ] = None
    initial: Annotated[
        str | None,
        Unset,
        About(
            "The matrices a PiSSA adapter began with, init_pissa.pth",
            "the path of its file (empty for other adapters)",
            "a PiSSA's own file holds only what they became",
        ),
    ] = None
