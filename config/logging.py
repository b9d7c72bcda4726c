"""Structured logs for the operator: one JSON line an event, with the request's id; never secrets or payloads."""

from __future__ import annotations

from typing import Any

import structlog


def logging_config(level: str) -> dict[str, Any]:
    """The `LOGGING` dictionary, and structlog set up to write through it."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processor": structlog.processors.JSONRenderer(),
                "foreign_pre_chain": shared,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "axes": {"level": "ERROR"},
            "django.server": {"level": "WARNING"},
            "django_structlog.celery": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "weasyprint": {"level": "WARNING"},
        },
    }
