"""Logging: plain lines by default, a Synapse log_config as it is."""

import logging
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from homeserver.runtime import logs
from homeserver.runtime.logs import LogConfigFault, restart_logging

SYNAPSE_SAMPLE = """
version: 1
formatters:
    precise:
        format: '%(asctime)s - %(name)s - %(lineno)d - %(levelname)s - %(request)s - %(message)s'
filters:
    context:
        (): synapse.logging.context.LoggingContextFilter
        request: "outside"
handlers:
    file:
        class: logging.handlers.TimedRotatingFileHandler
        formatter: precise
        filters: [context]
        filename: {path}
        when: midnight
        backupCount: 3
        encoding: utf8
    buffer:
        class: synapse.logging.handlers.PeriodicallyFlushingMemoryHandler
        target: file
        capacity: 10
        flushLevel: 30
        period: 5
loggers:
    synapse.storage.SQL:
        level: INFO
root:
    level: INFO
    handlers: [buffer]
disable_existing_loggers: false
"""


@pytest.fixture(autouse=True)
def logging_put_back() -> Iterator[None]:
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:], root.level = handlers, level
    logging.setLogRecordFactory(factory)


def test_the_default_is_one_plain_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logs.start_logging()
    logs.REQUEST.set("-")
    logging.getLogger("homeserver.x").info("Listening on %d", 8008)
    line = capsys.readouterr().err.strip()
    assert line.endswith("INFO    - homeserver.x: Listening on 8008")
    assert line[10] == " " and line[23] == "Z"


def test_a_line_names_its_request(capsys: pytest.CaptureFixture[str]) -> None:
    logs.start_logging()
    token = logs.REQUEST.set("GET-17")
    logging.getLogger("x").warning("slow")
    logs.REQUEST.reset(token)
    assert "GET-17 x: slow" in capsys.readouterr().err


def test_synapses_sample_file_works(tmp_path: Path) -> None:
    target, config = tmp_path / "out.log", tmp_path / "log.yaml"
    config.write_text(SYNAPSE_SAMPLE.replace("{path}", str(target)))
    logs.start_logging(config)
    logging.getLogger("x").info("waits in the buffer")
    assert target.read_text() == ""
    logging.getLogger("x").warning("flushes")
    lines = target.read_text().splitlines()
    assert [line.rsplit(" - ", 2)[1:] for line in lines] == [["outside", "waits in the buffer"], ["outside", "flushes"]]


def test_a_json_line_has_synapses_keys() -> None:
    record = logging.LogRecord("homeserver.x", logging.INFO, "f.py", 1, "sent %d", (3,), None)
    entry = orjson.loads(logs.JsonFormatter().format(record))
    assert (entry["log"], entry["namespace"], entry["level"]) == ("sent 3", "homeserver.x", "INFO")


@pytest.mark.parametrize(
    "formatter",
    ["JsonFormatter", "TerseJsonFormatter", "GcpJsonFormatter", "formatter.LogFormatter"],
)
def test_synapses_formatters_are_known(tmp_path: Path, capsys: pytest.CaptureFixture[str], formatter: str) -> None:
    config = tmp_path / "log.yaml"
    config.write_text(
        f"version: 1\nformatters: {{one: {{class: synapse.logging.{formatter}}}}}\n"
        "handlers: {console: {class: logging.StreamHandler, formatter: one}}\nroot: {handlers: [console]}\n"
    )
    logs.check_file(config)
    logs.start_logging(config)
    logging.getLogger("x").warning("said")
    assert "said" in capsys.readouterr().err


def test_google_is_told_the_severity() -> None:
    record = logging.LogRecord("homeserver.x", logging.WARNING, "f.py", 1, "sent %d", (3,), None)
    entry = orjson.loads(logs.GcpJsonFormatter().format(record))
    assert (entry["message"], entry["severity"], entry["namespace"]) == ("sent 3", "WARNING", "homeserver.x")


def test_a_file_is_checked_without_opening_a_log(tmp_path: Path) -> None:
    target, config = tmp_path / "out.log", tmp_path / "log.yaml"
    config.write_text(SYNAPSE_SAMPLE.replace("{path}", str(target)))
    logs.check_file(config)
    assert not target.exists()
    config.write_text(config.read_text().replace("PeriodicallyFlushingMemoryHandler", "NoSuchHandler"))
    with pytest.raises(LogConfigFault, match="NoSuchHandler"):
        logs.check_file(config)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: [", "log.yaml"),
        ("just words", "not a mapping"),
        ("version: 2", "version"),
        ("version: 1\nhandlers: {a: {class: no.such.Thing}}\nroot: {handlers: [a]}", "handler 'a'"),
        ("version: 1\nroot: {level: LOUD}", "LOUD"),
    ],
)
def test_a_fault_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    config = tmp_path / "log.yaml"
    config.write_text(text)
    with pytest.raises(LogConfigFault, match=said) as fault:
        logs.start_logging(config)
    assert "log.yaml" in str(fault.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogConfigFault, match=r"nowhere\.yaml"):
        logs.start_logging(tmp_path / "nowhere.yaml")


def test_a_faulty_file_leaves_logging_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "log.yaml"
    file.write_text("version: 7")
    restart_logging(file)
    assert "Logging goes on as it was" in caplog.text
