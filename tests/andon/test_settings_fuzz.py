"""Files and variables that nobody wrote on purpose: only Andon's own errors leave the loader."""

import os
import random
from pathlib import Path

import pytest

from andon.settings import Settings, SettingsError, load_settings
from andon.settings_names import variables_of

FILE = """# a plant's settings
[kafka]
bootstrap_servers = "broker1:9092,broker2:9092"
partitions = 4
[postgres]
url = "postgresql://andon:pw@db:5432/andon?sslmode=require"
[s3]
endpoint = "https://minio:9000"
[gateway]
line = "Linie 1"
plc_url = "opc.tcp://plc:4840"
camera = "opencv:rtsp://user:pw@camera/live"
recipes = { 1 = "tile", 2 = "board" }
[[classifier.endpoints]]
name = "llm"
base_url = "https://llm.example.com/v1"
model = "m"
temperature = 0.0
"""
ENV = """export ANDON_KAFKA__PARTITIONS=3
ANDON_LOG_LEVEL="debug"
ANDON_CLASSIFIER__CASCADE__THRESHOLDS={"prototypes": 0.8}
"""
ODD = [
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xe4", b"'", b'"', b"[", b"]", b"{", b"}", b"=", b"\\",
    b"\r", b"\n", b"#", b"\xe2\x80\x9c", b"\xf0\x9f\x94\xa7", b"1e999", b"-0", b"nan", b"null",
    b"true", b"9" * 400, b"[" * 300, b"://", b"@", b"?", b"__", b"1979-05-27", b"0x", b"${HOME}",
]  # fmt: skip
VALUES = [
    "", " ", "0", "-1", "1e999", "nan", "null", "true", "[]", "{}", '{"a": [', '"x"', "x" * 5000,
    "[" * 2000, "http://[::1", "://", "a:b:c", "ä", "\ud800", "9" * 5000, "postgres://@:/", "s3://",
    "opc.tcp://", "[[1, 2]]", '{"__": 1}', "127.0.0.1", "host:99999", "1,2", "folder:", "\t\n",
    '[{"name": 1}]', '{"1": {"2": 3}}', "rtsp://u:p@h", "http://u:p@h:1/v1?key=1#f",
]  # fmt: skip
ROUNDS = [pytest.param(120, id="120"), pytest.param(2000, id="2000", marks=pytest.mark.slow)]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes taken out, doubled, replaced or put in, at one to six places."""
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data = data[:at] + data[at + rng.randint(1, 12) :]
            case 1:
                data = data[:at] + rng.choice(ODD) + data[at:]
            case 2:
                data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
            case 3:
                data = data[:at] + data[at : at + 30] + data[at:]
            case _:
                lines = data.splitlines(keepends=True)
                rng.shuffle(lines)
                data = b"".join(lines)
    return data


@pytest.mark.parametrize("rounds", ROUNDS)
def test_no_exception_but_our_own(
    rounds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ANDON_")]:
        monkeypatch.delenv(name)
    rng = random.Random(20261128)
    names = sorted(variables_of(Settings))
    loaded = 0
    for _ in range(rounds):
        toml, env = FILE.encode(), ENV.encode()
        (tmp_path / "andon.toml").write_bytes(mutated(toml, rng) if rng.random() < 0.6 else toml)
        (tmp_path / ".env").write_bytes(mutated(env, rng) if rng.random() < 0.3 else env)
        with monkeypatch.context() as patch:
            for name in rng.sample(names, rng.randrange(3)):
                value = rng.choice(VALUES)
                if "\ud800" not in value and "\0" not in value:
                    patch.setenv(name, value)
            try:
                settings = load_settings.__wrapped__()
            except SettingsError as error:
                assert str(error).startswith("settings: ")  # noqa: PT017
                assert ":pw@" not in str(error)  # noqa: PT017
                continue
            assert isinstance(settings, Settings)
            loaded += 1
    assert loaded > rounds // 50, "the mutations leave nothing to load"
