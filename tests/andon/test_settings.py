"""Settings come from the environment, then ``.env``, then the TOML file; a wrong one is named."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from andon.settings import Settings, SettingsError, load_settings
from andon.settings_names import OF_TESTS, OTHERS, variables_of

ROOT = Path(__file__).parents[2]
ENDPOINT = '{"name":"x","base_url":"http://127.0.0.1:1/v1","model":"m","zone":"loopback"'


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without settings files, as the current one; no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ANDON_")]:
        monkeypatch.delenv(name)
    return tmp_path


def load() -> Settings:
    return load_settings.__wrapped__()


def refused() -> str:
    with pytest.raises(SettingsError) as found:
        load()
    return str(found.value)


def test_the_environment_wins_over_env_file_and_toml(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = alone / "plant.toml"
    toml.write_text('[kafka]\nbootstrap_servers = "toml:1"\n[s3]\nbucket = "toml"\n[serve]\n')
    monkeypatch.setenv("ANDON_CONFIG", str(toml))
    assert Settings().kafka.bootstrap_servers == "toml:1"
    (alone / ".env").write_text("ANDON_KAFKA__BOOTSTRAP_SERVERS=file:1\nANDON_LOG_LEVEL=debug\n")
    assert Settings().kafka.bootstrap_servers == "file:1"
    monkeypatch.setenv("ANDON_KAFKA__BOOTSTRAP_SERVERS", "environment:1")
    settings = Settings()
    assert settings.kafka.bootstrap_servers == "environment:1"
    assert (settings.s3.bucket, settings.log_level) == ("toml", "debug")


def test_a_whole_section_and_its_parts(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (alone / "andon.toml").write_text("[kafka]\npartitions = 2\nreplication_factor = 3\n")
    monkeypatch.setenv("ANDON_KAFKA", '{"partitions": 5, "request_timeout_s": 7}')
    monkeypatch.setenv("ANDON_KAFKA__REQUEST_TIMEOUT_S", "8")
    kafka = load().kafka
    assert (kafka.partitions, kafka.replication_factor, kafka.request_timeout_s) == (5, 3, 8)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ANDON_KAFKA__REQUEST_TIMEOUT_S", "0", "greater than 0, not '0'"),
        ("ANDON_WORKER__BATCH", "many", "not 'many'"),
        ("ANDON_WORKER__BATCH", "", "it is empty"),
        ("ANDON_GATEWAY__LINE", "a/b", "not 'a/b'"),
        ("ANDON_POSTGRES__TIMEOUT_S", "inf", "finite"),
        ("ANDON_CLASSIFIER__VELM__CALLS", "99", "15"),
        ("ANDON_CLASSIFIER__ENDPOINTS", "[", "not JSON"),
        ("ANDON_CLASSIFIER__ENDPOINTS", "", "unset it, or write"),
        ("ANDON_CLASSIFIER__ENDPOINTS", "[{'name': 'x'}]", "double quotes"),
        ("ANDON_CLASSIFIER__ENDPOINTS", '[{"name": "x"},]', "no comma before"),
        ("ANDON_CLASSIFIER__ENDPOINTS", "[{“name”: 1}]", "typographic"),
        ("ANDON_CLASSIFIER__ENDPOINTS", f'[{ENDPOINT},"temprature":0}}]', "'temperature'"),
        ("ANDON_CLASSIFIER__ENDPOINTS", '{"a": 1}', "ANDON_CLASSIFIER__ENDPOINTS"),
        ("ANDON_KAFKA", '"x"', "a section of names and values"),
        ("ANDON_KAFKA", '{"partitons": 3}', "did you mean 'partitions'"),
        ("ANDON_GATEWAY__RECIPES", '{"X": "tile"}', "valid integer"),
        ("ANDON_LOG_LEVEL", "loud", "'debug', 'info'"),
    ],
)
def test_a_wrong_setting_is_named_as_the_environment_spells_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    message = refused()
    assert name in message
    assert words in message


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ANDON_KAFKA_BOOTSTRAP_SERVERS", "ANDON_KAFKA__BOOTSTRAP_SERVERS"),
        ("ANDON__KAFKA__BOOTSTRAP_SERVERS", "ANDON_KAFKA__BOOTSTRAP_SERVERS"),
        ("ANDON_KAFKA__BOOTSTRAP__SERVERS", "ANDON_KAFKA__BOOTSTRAP_SERVERS"),
        ("ANDON_KAFKA___PARTITIONS", "ANDON_KAFKA__PARTITIONS"),
        ("ANDON_KAFKA__PARTITIONS_", "ANDON_KAFKA__PARTITIONS"),
        ("andon_kafka_partitions", "ANDON_KAFKA__PARTITIONS"),
        ("ANDON_KAFAK__PARTITIONS", "ANDON_KAFKA__PARTITIONS"),
        ("ANDON_GATWAY__LINE", "ANDON_GATEWAY__LINE"),
        ("ANDON_GATEWAY__PLCURL", "ANDON_GATEWAY__PLC_URL"),
        ("ANDON_GATEWAY_CAMERA", "ANDON_GATEWAY__CAMERA"),
        ("ANDON_S3__REGIN", "ANDON_S3__REGION"),
        ("ANDON_S3_ENDPOINT", "ANDON_S3__ENDPOINT"),
        ("ANDON_POSTGRES_URL", "ANDON_POSTGRES__URL"),
        ("ANDON_POSTGRESS__URL", "ANDON_POSTGRES__URL"),
        ("ANDON_WORKER_METRICS_PORT", "ANDON_WORKER__METRICS_PORT"),
        ("ANDON_WORKER__METRICSPORT", "ANDON_WORKER__METRICS_PORT"),
        ("ANDON_LOG__LEVEL", "ANDON_LOG_LEVEL"),
        ("ANDON_LOGLEVEL", "ANDON_LOG_LEVEL"),
        ("ANDON_CONFG", "ANDON_CONFIG"),
        ("ANDON_CLASSIFIER__ENDPOINT__0__NAME", "ANDON_CLASSIFIER__ENDPOINT"),
        ("ANDON_CLASSIFIER__ENDPOINTS__0__NAME", "is a list: write it whole"),
        ("ANDON_SERVE__APPLICATION", "is no setting"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_nearest(
    alone: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "1")
    assert re.search(rf"{name}\b.*{re.escape(meant)}", refused(), re.IGNORECASE)
    monkeypatch.delenv(name)
    (alone / ".env").write_text(f"{name}=1\n")
    assert f"{name} in .env".upper() in refused().upper()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANDON_CONSOLE_SERVICE_HOST", "10.0.0.1"),
        ("ANDON_CONSOLE_SERVICE_PORT", "8080"),
        ("ANDON_CONSOLE_SERVICE_PORT_HTTP", "8080"),
        ("ANDON_CONSOLE_PORT", "tcp://10.0.0.1:8080"),
        ("ANDON_CONSOLE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("ANDON_CONSOLE_PORT_8080_TCP_PROTO", "tcp"),
        ("ANDON_CONSOLE_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("ANDON_SERVICE_HOST", "10.0.0.1"),
        ("ANDON_PORT", "tcp://10.0.0.1:8080"),
        ("ANDON_TEST_MINIO", "1"),
        ("ANDON_SCHEDULING", "normal"),
        ("ANDON_CONFIG", ""),
    ],
)
def test_what_others_write_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert load() == Settings()


def test_the_variable_of_a_key_is_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_LLM_KEY", "k")
    assert "ANDON_LLM_KEY is no setting" in refused()
    endpoints = f'[{ENDPOINT},"api_key_env":"ANDON_LLM_KEY"}}]'
    monkeypatch.setenv("ANDON_CLASSIFIER__ENDPOINTS", endpoints)
    assert load().classifier.endpoints[0].api_key_env == "ANDON_LLM_KEY"


def test_free_names_below_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_GATEWAY__RECIPES", '{"1": "tile"}')
    monkeypatch.setenv("ANDON_GATEWAY__RECIPES__2__PRODUCT", "board")
    monkeypatch.setenv("ANDON_GATEWAY__RECIPES__3__PRODUCT", "cable")
    monkeypatch.setenv("ANDON_GATEWAY__RECIPES__3__NAME", "Cable 3 mm")
    monkeypatch.setenv("ANDON_CLASSIFIER__CASCADE__ORDER", "prototypes, llm")
    settings = load()
    monkeypatch.setenv("ANDON_PLANT__SHIFTS__EARLY__START", "06:00")
    monkeypatch.setenv("ANDON_PLANT__SHIFTS__EARLY__END", "14:00")
    assert set(load().plant.shifts) == {"early"}
    called = {n: (r.product, r.called) for n, r in settings.gateway.recipes.items()}
    whole = {1: ("tile", "tile"), 2: ("board", "board"), 3: ("cable", "Cable 3 mm")}
    assert called == whole
    assert settings.classifier.cascade.order == ("prototypes", "llm")


TOML = [
    ("[kafka\nx = 1", "line 1"),
    ("[kafka]\nbootstrap_servers = host:9092", "text stands in quotes"),
    ("[kafka]\npartitions = 3 4", "line 2"),
    ("[kafka]\npartitions = 3\npartitions = 4", "partitions"),
    ("kafka:\n  partitions: 3\n", "write name = value"),
    ('[paths]\nstate = "C:\\andon"', "a backslash is written twice"),
    ("{}", "is not TOML"),
    ("[kafak]\npartitions = 3", "kafak"),
    ("[Kafka]\npartitions = 3", "did you mean 'kafka'"),
    ("[kafka]\npartitons = 3", "did you mean 'partitions'"),
    ("[kafka]\nbootstrap-servers = 'a:1'", "did you mean 'bootstrap_servers'"),
    ("partitions = 3", "'partitions' stands in [kafka]"),
    ("[serve]\nbootstrap_servers = 'a:1'", "stands in [kafka]"),
    ("kafka = 3", "a section of names and values"),
    ("[kafka]\npartitions = 'x'", "[kafka] partitions (ANDON_KAFKA__PARTITIONS)"),
    ("[kafka]\npartitions = 0", "[kafka] partitions (ANDON_KAFKA__PARTITIONS)"),
    ("[gateway]\nlinie = 'x'", "did you mean 'line'"),
    ("[gatway]\nline = 'x'", "did you mean 'gateway'"),
    ("[classifier.velm]\ncals = 3", "[classifier.velm] cals"),
    ("[classifier]\nkind = 'gpt'", "[classifier] kind"),
    ("[[classifier.endpoints]]\nname = 'a'\nmodel = 'm'", "[classifier.endpoints] number 1"),
    (
        "[[classifier.endpoints]]\nmodel='m'\nbase_url='api.openai.com/v1'",
        "write 'https://api.openai.com/v1'",
    ),
    ("[s3]\nendpoint = 'http://a:1/b'", "[s3] endpoint"),
    ("[logging]\nlevel = 'info'", "logging"),
]


@pytest.mark.parametrize(("text", "words"), TOML)
@pytest.mark.parametrize("name", ["andon.toml", "plant.toml"])
def test_a_mistake_in_the_file_is_named(
    alone: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str, name: str
) -> None:
    (alone / name).write_text(text)
    if name != "andon.toml":
        monkeypatch.setenv("ANDON_CONFIG", name)
    message = refused()
    assert name in message
    assert words in message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_files_of_any_editor_are_read(alone: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    text = f"{mark}# größe\r\n[gateway]\r\nline = 'Straße 1'\r\n"
    (alone / "andon.toml").write_bytes(text.encode(encoding))
    (alone / ".env").write_bytes(f"{mark}# größe\r\nANDON_KAFKA__PARTITIONS=7\r\n".encode(encoding))
    settings = load()
    assert (settings.gateway.line, settings.kafka.partitions) == ("Straße 1", 7)


@pytest.mark.parametrize("name", ["andon.toml", ".env"])
def test_a_file_in_another_encoding_is_named_with_its_line(alone: Path, name: str) -> None:
    (alone / name).write_bytes("# one\n# größe\n".encode("latin-1"))
    assert f"{name} line 2 is not UTF-8" in refused()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ANDON_KAFKA__PARTITIONS=0\n", "ANDON_KAFKA__PARTITIONS in .env"),
        ("# x\nfoo bar\n", ".env line 2 is not NAME=value: 'foo bar'"),
        ("=3\n", ".env line 1"),
        ("ANDON_LOG_LEVEL='unclosed\n", ".env line 1"),
        ("ANDON_CLASSIFIER__ENDPOINTS=[\n", "ANDON_CLASSIFIER__ENDPOINTS in .env is not JSON"),
    ],
)
def test_a_mistake_in_the_env_file_is_named(alone: Path, text: str, words: str) -> None:
    (alone / ".env").write_text(text)
    assert words in refused()


def test_what_is_not_ours_in_an_env_file_is_passed_over(alone: Path) -> None:
    (alone / ".env").write_text("export PATHS=1\nKAFKA__PARTITIONS=9\nexport ANDON_LOG_JSON=yes\n")
    settings = load()
    assert settings.log_json
    assert settings.kafka == Settings().kafka


def test_a_folder_in_the_place_of_the_file_is_told(alone: Path) -> None:
    """Docker makes one of a file that is mounted and absent: every setting had its default."""
    (alone / "andon.toml").mkdir()
    assert "andon.toml is a folder" in refused()


@pytest.mark.parametrize("named", ["absent.toml", "/no/such/andon.toml", ".", "9" * 5000])
def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("ANDON_CONFIG", named)
    assert f"ANDON_CONFIG names {named}" in refused()


def test_every_mistake_is_said_at_once(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (alone / "andon.toml").write_text("[kafka]\npartitions = 0\npartitons = 3\n")
    monkeypatch.setenv("ANDON_WORKER__BATCH", "0")
    message = refused()
    assert all(name in message for name in ("partitions", "partitons", "ANDON_WORKER__BATCH"))


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "andon-local-only" not in repr(Settings())
    for name, value in (
        ("ANDON_POSTGRES__URL", "mysql://andon:hunter2@db/andon"),
        ("ANDON_POSTGRES__URL", "postgresql://andon:hunter2/x@db/andon"),
        ("ANDON_POSTGRES__POOL_SIZE", "postgresql://andon:hunter2@db/andon"),
        ("ANDON_CLASSIFIER__ENDPOINTS", '[{"base_url": "https://u:hunter2@h/v1", "model": "m"}]'),
        ("ANDON_CLASSIFIER__ENDPOINTS", '[{"base_url": "https://h/v1?key=hunter2", "model": 1}]'),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert "hunter2" not in refused()


@pytest.mark.parametrize(
    ("given", "endpoint", "secure"),
    [
        ("minio:9000", "minio:9000", False),
        ("http://minio:9000/", "minio:9000", False),
        ("https://minio:9000", "minio:9000", True),
        ("https://s3.eu-central-1.amazonaws.com", "s3.eu-central-1.amazonaws.com:443", True),
        ("HTTP://minio", "minio:80", False),
        ("[::1]:9000", "[::1]:9000", False),
    ],
)
def test_the_scheme_of_the_object_store(
    monkeypatch: pytest.MonkeyPatch, given: str, endpoint: str, secure: bool
) -> None:
    monkeypatch.setenv("ANDON_S3__ENDPOINT", given)
    s3 = load().s3
    assert (s3.endpoint, s3.secure) == (endpoint, secure)


@pytest.mark.parametrize(
    ("given", "secure", "words"),
    [
        ("http://minio:9000", "true", "says http:// but secure says true"),
        ("https://minio:9000", "no", "says https:// but secure says no"),
        ("s3://bucket", "", "ANDON_S3__BUCKET"),
        ("http://minio:9000/bucket", "", "write 'minio:9000' alone"),
        ("http://key:secret@minio:9000", "", "a user or password"),
        ("ftp://minio:21", "", "is not S3's"),
        ("minio:port", "", "its port is no number"),
    ],
)
def test_an_object_store_that_cannot_be_meant(
    monkeypatch: pytest.MonkeyPatch, given: str, secure: str, words: str
) -> None:
    monkeypatch.setenv("ANDON_S3__ENDPOINT", given)
    if secure:
        monkeypatch.setenv("ANDON_S3__SECURE", secure)
    message = refused()
    assert "ANDON_S3__ENDPOINT" in message
    assert words in message


def test_every_variable_that_we_write_is_one() -> None:
    """A name in the code, the documents or the manifests that no process takes would mislead."""
    where = ("--", ".", ":!tests", ":!CHANGELOG.md")
    listed = subprocess.run(
        ["git", "grep", "-ohE", r"\bANDON_[A-Z][A-Z0-9_]*[A-Z0-9]", *where],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    known = {*variables_of(Settings), *OTHERS}
    for name in set(listed.stdout.split()):
        is_stem = any(one.startswith(f"{name}__") for one in known)
        is_below = any(name.startswith(f"{one}__") for one in known)
        assert name in known or is_stem or is_below or OF_TESTS.fullmatch(name), name
