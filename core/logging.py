"""Log lines, as text or JSON, from which keys and passwords are taken out."""

import json
import logging
import re
import sys
from datetime import UTC, datetime

from core.settings import Settings

REDACTIONS = (
    (re.compile(r"gw_([0-9a-z]{12})_[\w-]+"), r"gw_\1_***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 ***"),
    (re.compile(r"(?i)(authorization\W{1,4})(?!bearer|basic)[^\s\"',]{4,}"), r"\1***"),
    (re.compile(r"(\b[a-z][\w+.-]*://[^\s:/@\"']*):[^\s/@\"']+@"), r"\1:***@"),
    (re.compile(r"(?i)([?&](?:signature|token|password)=)[^\s&\"']+"), r"\1***"),
    (re.compile(r"(?i)(\bpassword\s*=\s*)[^\s\"']+"), r"\1***"),
    (re.compile(r"whsec_[\w+/=-]+"), "whsec_***"),
)
# What every record has; the rest was given by `extra=`.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(settings: Settings) -> None:
    """Send everything that is logged in this process to standard error, in the chosen format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "celery", "celery.task"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        # The API tells of its requests itself; a second line for each would cost more than many
        # an answer, and uvicorn writes it whenever there is a handler.
        logger.propagate = name != "uvicorn.access"


def redact(text: str) -> str:
    """The text without API keys, authorization headers and passwords of addresses."""
    for pattern, replacement in REDACTIONS:
        text = pattern.sub(replacement, text)
    return text


class TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return _moment(record)

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, what `extra=` gave, and the error."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        extra = {key: value for key, value in vars(record).items() if key not in STANDARD}
        line |= {key: _plain(value) for key, value in extra.items()}
        if record.exc_info:
            line["error"] = redact(self.formatException(record.exc_info))
        return json.dumps(line)


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | bool | None) else redact(str(value))
