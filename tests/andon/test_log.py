"""Whoever logs it: passwords, keys and tokens are masked."""

import io
import json
import logging
from collections.abc import Callable
from contextvars import copy_context
from datetime import datetime

import pytest
import structlog

from andon.log import configure_logging, mask_event
from streams.errors import UnavailableError
from streams.tracing.context import TraceContext
from streams.tracing.spans import CURRENT, PART, Work
from tests.contracts.twins.span_sink import TwinSpans
from tests.streams.made import frame

URL = "rtsp://operator:hunter2@10.0.0.7/live"


def test_an_event_is_masked() -> None:
    event = mask_event(None, "info", {"event": f"open {URL}", "source": URL, "count": 3})
    assert event == {
        "event": "open rtsp://operator:***@10.0.0.7/live",
        "source": "rtsp://operator:***@10.0.0.7/live",
        "count": 3,
    }


@pytest.mark.parametrize("as_json", ["true", "false"])
def test_libraries_and_errors_are_masked(
    as_json: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from andon.settings import load_settings

    monkeypatch.setenv("ANDON_LOG_JSON", as_json)
    monkeypatch.setattr("andon.log.load_settings", load_settings.__wrapped__)
    root, stream = logging.getLogger(), io.StringIO()
    monkeypatch.setattr(root, "handlers", [logging.StreamHandler(stream)])
    try:
        configure_logging()
        log = structlog.get_logger("camera")
        try:
            raise OSError(f"cannot open {URL}")
        except OSError:
            log.error("camera.down", exc_info=True)
            root.exception("in a library, with %s", URL)
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(False)
    of_library = stream.getvalue().splitlines()
    if as_json == "true":
        (line,) = (json.loads(one) for one in of_library)
        assert (line["level"], line["logger"]) == ("error", "root")
        assert "hunter2" not in line["exception"]
        assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None
    else:
        assert datetime.fromisoformat(of_library[0].split()[0]).tzinfo is not None
    written = stream.getvalue() + capsys.readouterr().err
    assert "operator:***@" in written
    assert "hunter2" not in written


@pytest.mark.parametrize(
    "serial",
    ["A\nB", "A\r\nB", "\x1b[2J\x1b[31mred", "a\u2028b", "\u202eelit", "tab\there", "\x00"],
)
def test_a_serial_never_breaks_or_colours_a_line(
    serial: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from andon.settings import load_settings

    monkeypatch.setenv("ANDON_LOG_JSON", "false")
    monkeypatch.setattr("andon.log.load_settings", load_settings.__wrapped__)
    root, stream = logging.getLogger(), io.StringIO()
    monkeypatch.setattr(root, "handlers", [logging.StreamHandler(stream)])
    try:
        configure_logging()
        structlog.get_logger("gateway").warning("part.watchdog", part_id=serial, why=f"of {serial}")
        root.warning("a library says %s", serial)
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(False)
    for written in (stream.getvalue(), capsys.readouterr().err):
        assert len(written.splitlines()) == 1
        assert written.rstrip("\n").isprintable()


def logged_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], say: Callable[[], None]
) -> list[dict[str, object]]:
    """The lines that a gateway logs."""
    from andon.settings import load_settings

    monkeypatch.setenv("ANDON_LOG_JSON", "true")
    monkeypatch.setattr("andon.log.load_settings", load_settings.__wrapped__)
    root, stream = logging.getLogger(), io.StringIO()
    monkeypatch.setattr(root, "handlers", [logging.StreamHandler(stream)])
    try:
        configure_logging("gateway", "L1", "S1")
        say()
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(False)
    lines = [*capsys.readouterr().err.splitlines(), *stream.getvalue().splitlines()]
    return [json.loads(line) for line in lines]


def test_json_says_who_logged_and_of_which_part(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    part = frame(part_id="P\n7", line="L2", station="S2")

    def say() -> None:
        structlog.get_logger("connectors.gateway").info("started", password="hunter2")
        structlog.get_logger(role="inspect").info("ready")

        def of_a_part() -> None:
            PART.set(part)
            structlog.get_logger("streams.roles").warning("away")
            logging.getLogger("aiokafka").error("of a library")

        copy_context().run(of_a_part)

    started, ready, away, of_library = logged_as_json(monkeypatch, capsys, say)
    assert {"timestamp", "level", "event", "logger", "role"} <= set(started) & set(ready)
    assert (started["logger"], started["role"]) == ("connectors.gateway", "gateway")
    assert (started["line"], started["station"], started["password"]) == ("L1", "S1", "***")
    assert (ready["logger"], ready["role"]) == ("andon", "inspect")
    assert "trace_id" not in started
    for line in (away, of_library):
        assert (line["line"], line["station"], line["part_id"]) == ("L2", "S2", "P\n7")
        assert line["trace_id"] == part.frame_id.hex
    assert (of_library["logger"], of_library["level"]) == ("aiokafka", "error")


def test_within_a_trace_its_id_is_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def say() -> None:
        CURRENT.set(Work(TraceContext(0xA1, 0xB2, True), "name", TwinSpans()))
        structlog.get_logger("serving").error("classifying failed")

    (line,) = logged_as_json(monkeypatch, capsys, lambda: copy_context().run(say))
    assert line["trace_id"] == f"{0xA1:032x}"


@pytest.mark.parametrize("as_json", ["true", "false"])
def test_why_a_process_ended_is_a_line_of_its_log(
    as_json: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where machines read it, the plain words of a prompt were the one line that they could not."""
    from andon import __main__ as command
    from andon import settings

    def ended(**_: object) -> None:
        raise UnavailableError(f"no answer from {URL}")

    monkeypatch.setenv("ANDON_LOG_JSON", as_json)
    fresh = settings.load_settings.__wrapped__
    monkeypatch.setattr(settings, "load_settings", fresh)
    monkeypatch.setattr("andon.log.load_settings", fresh)
    monkeypatch.setattr(command, "app", ended)
    monkeypatch.setattr(command, "adopt_event_loop", lambda: None)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    try:
        configure_logging("limits")
        with pytest.raises(SystemExit) as end:
            command.main()
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(False)
    said = capsys.readouterr().err
    assert end.value.code == 1
    assert "hunter2" not in said
    if as_json == "false":
        assert said.startswith("error: no answer from rtsp://")
        return
    line = json.loads(said)
    assert (line["level"], line["event"], line["role"]) == ("critical", "ended", "limits")
    assert line["error"].startswith("no answer from rtsp://")
