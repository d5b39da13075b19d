"""Traces for OpenTelemetry: whether they are wanted, and whether they can be had.

Its SDK is not imported unless they are, and need not be installed.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.telemetry.spans import Tracing

log = logging.getLogger(__name__)

_STANDARD = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_HOW = 'the package of OpenTelemetry is not installed: pip install "rwkv-server[otel]"'


class TelemetryError(Exception):
    """Traces were asked for and cannot be sent; the message is one sentence."""


def open_tracing(endpoint: str | None, env: Mapping[str, str]) -> "Tracing | None":
    """None where no traces are wanted. Raises TelemetryError.

    endpoint: a collector's address, before the standard variables. Those may be set for all
    programs of a machine, so that without the package they are no reason not to start.
    """
    wanted = endpoint is not None or any(env.get(name) for name in _STANDARD)
    if not wanted or env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from server.telemetry.spans import Tracing, exporter
    except ImportError as error:
        if endpoint is not None:
            raise TelemetryError(f"traces cannot be sent, as {_HOW}") from error
        log.warning("no traces are sent, as %s", _HOW)
        return None
    log.info("traces are sent by OpenTelemetry")
    return Tracing(exporter(endpoint))
