"""One line for each event, to standard error: for people, or as JSON for machines."""

import sys

import structlog


def make_log(*, json_logs: bool, file=None):
    """A logger of its own; nothing global is configured.

    Args:
        json_logs: write one JSON object a line.
        file: to write to; standard error unless given.
    """
    file = file or sys.stderr
    if json_logs:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=file.isatty(), pad_event_to=0)
    return structlog.wrap_logger(
        structlog.WriteLogger(file),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=True,
    )
