"""Structured logs on stderr: JSON, or lines for people on a terminal; always redacted.

Every record, of ours and of libraries that use :mod:`logging`, passes the
redactor after its traceback was made text, so that nothing is written that it
has not seen. Tracebacks never show local variables.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

from config.clock import Clock
from config.models import LogSettings
from config.redact import Redactor

_NOISY: Final = ("aiohttp.access", "apscheduler", "web3", "urllib3", "asyncio")
"""Told at warning level and above, unless the level is debug."""
_TELLTALE: Final = ("botocore", "boto3")
"""Never told below warning level: they write requests, session tokens included."""


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Logger of a module: ``log = get_logger(__name__)``; ``log.info("block_scanned", chain=…)``.

    Lazy: it may be made before :func:`configure_logging` was called.
    """
    return structlog.stdlib.get_logger(name)


def configure_logging(
    settings: LogSettings, redactor: Redactor, clock: Clock, stream: TextIO
) -> None:
    """Send all logs of the process to ``stream``; a second call replaces the first."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        _Stamp(clock),
        structlog.processors.format_exc_info,
        _Redact(redactor),
    ]
    console = settings.format == "console" or (settings.format == "auto" and stream.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if console
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(
            logging.NOTSET if settings.level == "debug" else logging.WARNING
        )
    for name in _TELLTALE:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


class _Stamp:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(
        self, _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event["timestamp"] = self._clock.now().isoformat(timespec="milliseconds")
        return event


class _Redact:
    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def __call__(
        self, _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        for key, value in event.items():
            # structlog's own bookkeeping, removed before anything is written
            if not key.startswith("_"):
                event[key] = self._redactor.value(value, key)
        return event
