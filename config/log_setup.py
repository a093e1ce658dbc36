"""Logging: one line for each event, as JSON for machines or coloured text for people, with the request's id."""

from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from releases import request_id


def add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    current = request_id.current()
    if current:
        event.setdefault("request_id", current)
    return event


def logging_config(log_format: str, level: str) -> dict[str, Any]:
    """Return the dictionary for Django's LOGGING.

    `log_format` is `json` or `console`; `level` one of the standard library's level names.
    """
    # Plain: where rich is installed, tracebacks would show the values of variables, secrets too, and take seconds.
    console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    renderer: Any = structlog.processors.JSONRenderer() if log_format == "json" else console
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_request_id,
    ]
    tail: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if log_format == "json":
        tail.append(structlog.processors.format_exc_info)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "lines": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [structlog.processors.TimeStamper(fmt="iso", utc=True), add_request_id, *tail, renderer],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "celery": {"level": level},
            "django": {"level": level, "propagate": True, "handlers": []},
            "django.server": {"level": level, "propagate": True, "handlers": []},
            "kombu": {"level": "WARNING"},
        },
    }
