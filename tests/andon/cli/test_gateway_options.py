"""What the options of the edge's processes may be, and how a wrong one is said."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.cli.gateway import app as gateway
from andon.cli.vision_server import app as vision_server
from andon.settings import SettingsError, load_settings


@pytest.fixture(autouse=True)
def settings_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for process in ("gateway", "vision_server"):
        begun = f"andon.processes.{process}.run_{process}"
        monkeypatch.setattr(begun, lambda _: pytest.fail("it began to serve"))
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


@pytest.mark.parametrize("app", [gateway, vision_server])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--line", "a/b"], r"^--line: string should match pattern .*, not 'a/b'$"),
        (["--station", ""], r"^--station: string should have at least 1 character"),
        (["--station", "a/b", "--line", ""], r"^--line: .*; --station: "),
    ],
)
def test_a_wrong_option_is_named_in_one_line(app: object, words: list[str], said: str) -> None:
    found = CliRunner().invoke(app, words)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=said):
        raise found.exception or AssertionError(found.output)
    assert "\n" not in str(found.exception)


def test_the_controllers_address_is_named_by_its_option() -> None:
    found = CliRunner().invoke(gateway, ["--plc", "http://x"])
    assert str(found.exception).startswith("--plc: http:// is not spoken; write 'opc.tcp://x:4840'")


@pytest.mark.parametrize("app", [gateway, vision_server])
def test_a_camera_that_no_shot_would_take_is_refused(
    app: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDON_GATEWAY__SHOTS", '[{"name": "top", "camera": "synthetic:"}]')
    found = CliRunner().invoke(app, ["--camera", "synthetic:seed=2"])  # type: ignore[arg-type]
    assert found.exit_code == 2
    assert "each of gateway.shots names its own camera" in " ".join(found.output.split())


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        ('{"TriggerSeq": "none"}', "TriggerSeq: no line works without it"),
        ('{"LotId": "ns=x;s=a"}', "LotId: 'ns=x;s=a' is no node id"),
    ],
)
def test_a_node_that_cannot_be_is_said_with_its_signal(
    signals: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDON_GATEWAY__SIGNALS", signals)
    with pytest.raises(SettingsError, match=said):
        load_settings()
