"""The settings of what the server tells its operator: logs and traces."""

from typing import Annotated, Literal

from server.config.about import About, Section, Unset


class LogSettings(Section):
    """What is written to standard error, and which traces are sent."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        About(
            "Least severity that is logged",
            "debug, info, warning or error",
            "info tells what was loaded and who was refused; "
            "debug also shows messages of unexpected errors, which can quote a prompt",
        ),
    ] = "info"
    format: Annotated[
        Literal["text", "json"],
        About(
            "One line of text for each event, or one JSON object",
            "text or json",
            "people read the first minute of a log; json suits a log collector",
        ),
    ] = "text"
    access: Annotated[
        bool,
        About(
            "Log one line for each request when it has ended: method, path, status, seconds and "
            "id, never its content",
            "true or false",
            "shows at a glance whether a client arrives at all",
        ),
    ] = True
    otlp_endpoint: Annotated[
        str | None,
        Unset,
        About(
            "OpenTelemetry collector that traces of requests are sent to, without their content",
            'the address of its OTLP over HTTP, such as "http://127.0.0.1:4318" (empty = what '
            "OTEL_EXPORTER_OTLP_ENDPOINT says, else none)",
            "nothing is sent anywhere unless someone asks for it",
        ),
    ] = None
