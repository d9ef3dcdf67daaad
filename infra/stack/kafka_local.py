"""Apache Kafka, one KRaft node on loopback, from Maven Central's jars and this machine's Java.

What a plant runs, for the tests and benchmarks that the embedded broker cannot carry: it keeps
its data over ``kill -9`` (``docs/adr/0053-apache-kafka-and-minio-for-real.md``).

    python -m infra.stack.kafka_local              # fetch the jars, print their folder
"""

import hashlib
import re
import shutil
import subprocess
import sys
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from infra.stack.broker import Broker, alive_brokers
from infra.stack.certificates import write_private
from infra.stack.kafka_secured import BrokerSecurity
from infra.stack.process import Process, ProcessError, free_port
from infra.stack.server import HOST, launch, log_beside, make_folder, run_to_end, take_port
from streams.topics import MAX_FETCH_BYTES, MAX_MESSAGE_BYTES

CACHE = Path(__file__).parents[1] / ".venvs" / "kafka"
"""Where the jars are kept between runs; ignored by git."""
MIN_JAVA = 17
"""Kafka 4's brokers need it."""
HEAP = "384m"
READY_S = 90.0
"""Within it a broker serves, the recovery of its logs included, seconds."""
_FETCH_S = 600.0
_NO_MAVEN = "no `mvn` on the path: install Apache Maven, it fetches Kafka's jars"
_FILES = Path(__file__).parent / "kafka"
_JAVA_OPTIONS = [f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
"""Quick to start rather than quick in the long run: what a local stack does takes minutes, and the
optimising compiler would work through all of them (ADR 0164)."""


@dataclass
class LocalKafka(Broker):
    """A running Apache Kafka, with the folder that a start after a kill recovers."""

    data_dir: Path
    stop_timeout_s: ClassVar[float] = 20.0


def kafka_available(cache: Path = CACHE) -> str:
    """Why Apache Kafka cannot run here; empty when it can (once the jars are fetched)."""
    java = shutil.which("java")
    if java is None:
        return f"no `java` on the path: install a Java {MIN_JAVA} runtime or newer"
    version = _java_version(java)
    if version < MIN_JAVA:
        return f"{java} is Java {version}, Apache Kafka 4 needs {MIN_JAVA} or newer"
    if not _folder(cache).is_dir() and shutil.which("mvn") is None:
        return _NO_MAVEN
    return ""


def fetch_kafka(cache: Path = CACHE) -> Path:
    """The folder of the broker's jars (43 MB); fetched with Maven when absent.

    Raises:
        ProcessError: no Maven, or it could not fetch them; the message ends with its words.
    """
    folder = _folder(cache)
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise ProcessError(_NO_MAVEN)
    command = [maven, "-q", "-B", "-f", str(_FILES / "pom.xml"), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime"]
    make_folder(
        folder, lambda draft: run_to_end([*command, f"-DoutputDirectory={draft}"], _FETCH_S)
    )
    return folder


def start_kafka(
    data_dir: Path,
    port: int | None = None,
    log_path: Path | None = None,
    tethered: bool = True,
    cache: Path = CACHE,
    security: BrokerSecurity | None = None,
) -> LocalKafka:
    """Start a broker on ``data_dir`` (formatted on first use); return once it serves clients.

    A broker that was killed finds its topics, messages and groups again. Topics are never
    created by accident: ``streams.kafka.topic_admin`` does.

    Args:
        data_dir: the node's folder; its parent is created.
        port: TCP port on 127.0.0.1; None takes a free one. The controller takes another.
        log_path: where its output is appended; None: ``<data_dir>.log``.
        tethered: whether it ends with the thread that called; the stack's outlives its starter.
        cache: where ``fetch_kafka`` keeps the jars.
        security: TLS, logins and an authorizer; None listens in plain text.

    Raises:
        ProcessError: no Java or jars, the port is in use, or it did not come up.
    """
    reason = kafka_available(cache)
    if reason:
        raise ProcessError(f"Apache Kafka cannot run here: {reason}")
    data_dir = data_dir.resolve()
    chosen = take_port(port, "ANDON_KAFKA__BOOTSTRAP_SERVERS")
    java = _java(fetch_kafka(cache))
    data_dir.mkdir(parents=True, exist_ok=True)
    logs = data_dir / "log"
    if not logs.is_dir():
        _format(java, data_dir, logs, security)
    settings = _write_settings(data_dir / "server.properties", logs, chosen, security)

    def serves(_: Process) -> bool:
        """Before it is a member of its own cluster it answers, but knows of no broker."""
        if security is not None:
            return security.is_serving(f"{HOST}:{chosen}")
        return bool(alive_brokers(chosen))

    command = [*java, "kafka.Kafka", str(settings)]
    log = log_beside(data_dir, log_path)
    process = launch("kafka", command, log, serves, READY_S, tethered=tethered)
    if security is not None:
        security.apply_access(f"{HOST}:{chosen}")
    return LocalKafka(process, chosen, data_dir)


def _folder(cache: Path) -> Path:
    """Named by what is asked for: another version is another folder."""
    return cache.resolve() / hashlib.sha256((_FILES / "pom.xml").read_bytes()).hexdigest()[:12]


def _java(jars: Path) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={_FILES / 'log4j2.properties'}"
    return ["java", *_JAVA_OPTIONS, logging, "-cp", f"{jars}/*"]


def _java_version(java: str) -> int:
    """The feature release: 17 of ``openjdk version "17.0.15"``; 0 when it cannot be read."""
    done = subprocess.run(
        [java, "-version"], capture_output=True, text=True, timeout=60, check=False
    )
    found = re.search(r'version "(\d+)', done.stderr + done.stdout)
    return int(found.group(1)) if found else 0


def _write_settings(path: Path, logs: Path, port: int, security: BrokerSecurity | None) -> Path:
    controller = free_port()
    settings: dict[str, object] = {
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "replica.fetch.max.bytes": MAX_FETCH_BYTES,
        "log.dirs": logs,
        "listeners": f"CLIENTS://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"CLIENTS://{HOST}:{port}",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        **(security.server_settings() if security is not None else {}),
    }
    own = "".join(f"{name}={value}\n" for name, value in settings.items())
    write_private(path, (_FILES / "server.properties").read_text() + own)
    return path


def _format(java: list[str], data_dir: Path, logs: Path, security: BrokerSecurity | None) -> None:
    def make(draft: Path) -> None:
        port = free_port()
        settings = _write_settings(data_dir / "format.properties", draft, port, security)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
        words = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings)]
        users = security.format_words() if security is not None else []
        run_to_end([*java, *words, *users], 120.0)
        settings.unlink()

    make_folder(logs, make)


if __name__ == "__main__":
    sys.stdout.write(f"{fetch_kafka()}\n")
