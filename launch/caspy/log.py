"""One way to log: ``LEVEL:logger:msg="..." key=value`` on standard error."""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import Any

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_PLAIN = re.compile(r"[\w.+-]+")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class KeyValueFormatter(logging.Formatter):
    """Writes a record as one line; what came in by ``extra=`` stands behind the message.

    A traceback is shown only where somebody debugs; otherwise its last line is ``error=``.
    """

    def __init__(self, *, tracebacks: bool = False) -> None:
        super().__init__()
        self._tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        message = record.getMessage()
        parts = [message if message.startswith("msg=") else f"msg={_quoted(message)}"]
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not self._tracebacks:
            extra["error"] = f"{type(error).__name__}: {error}"
        parts += [f"{key}={_value(value)}" for key, value in extra.items()]
        line = f"{record.levelname}:{record.name}:{' '.join(parts)}"
        if error is not None and self._tracebacks and record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _StandardError(logging.Handler):
    """Writes to what standard error is now, not to what it was at the start."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - a log line must not end a run
            self.handleError(record)


def configure() -> None:
    """Send all logs to standard error, from the level in ``CASPY_LOG_LEVEL`` on.

    Calling it again replaces what it set up before, and nothing else.
    """
    asked = os.environ.get("CASPY_LOG_LEVEL", "").strip().upper()
    level = asked if asked in LEVELS else "WARNING"
    handler = _StandardError()
    handler.name = "caspy"
    handler.setFormatter(KeyValueFormatter(tracebacks=level == "DEBUG"))
    root = logging.getLogger()
    for old in [one for one in root.handlers if one.name == "caspy"]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    # caproto reports as errors what a user cannot change (a network without broadcast).
    logging.getLogger("caproto").setLevel("WARNING" if level == "DEBUG" else "CRITICAL")
    logging.getLogger("asyncio").setLevel("WARNING")
    if asked and asked not in LEVELS:
        logging.getLogger("caspy").warning(
            "unknown CASPY_LOG_LEVEL, using WARNING",
            extra={"given": asked, "known": ",".join(LEVELS)},
        )


def _value(value: Any) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
