"""The local stack as one thing: broker, PostgreSQL, S3 and Ray, started side by side.

The demo and the benchmarks take free ports and end with their process (``tethered``);
``andon stack up`` takes the ports of the settings and outlives its starter.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from andon.settings import Settings
from andon.stack.security import (
    FOLDER,
    database_security,
    database_url,
    object_keys,
    sections_of,
    serving_environment,
)
from history.object_users import apply_users
from infra.stack.certificates import private_folder
from infra.stack.process import ProcessError, free_port
from infra.stack.server import HOST, LocalServer, take_port
from streams.principals import Role
from streams.topics import PARTITIONS

BrokerKind = Literal["embedded", "kafka"]
"""The broker from a wheel, in memory; or Apache Kafka on disk (needs Java and Maven)."""
Report = Callable[[str, float], None]
"""Called with a component's name and the seconds it took to be ready."""


@dataclass(frozen=True)
class StackPorts:
    """Where each component listens on loopback."""

    broker: int
    postgres: int
    s3: int
    ray: int
    ingress: int
    """Where the Serve application listens."""
    ray_dashboard: int | None = None
    """Ray's REST API, which ``serve deploy`` needs; None: ten processes fewer."""

    @classmethod
    def free(cls) -> "StackPorts":
        """Ports that nobody uses right now, no dashboard."""
        return cls(*(free_port() for _ in range(5)))


@dataclass
class LocalStack:
    """Starts and stops the components; ``environment`` points Andon's processes at them."""

    folder: Path
    ports: StackPorts
    tethered: bool = True
    broker_kind: BrokerKind = "embedded"
    token_file: Path | None = None
    """Ray's token; None keeps it in ``folder``."""
    secure: bool = False
    """Whether every connection is encrypted and every role has credentials of its own."""
    with_minio: bool = True
    """Whether a secured stack takes MinIO as its object store where it is built."""
    components: dict[str, LocalServer] = field(default_factory=dict)
    _threads: ThreadPoolExecutor | None = None

    def start(self, report: Report = lambda name, seconds: None) -> None:
        """Start all, return when all are ready.

        The threads live as long as the stack: a tethered child ends with the thread that
        started it.

        Raises:
            AndonError: a component did not come up; what had started is stopped again. Or the
                port of the ingress is taken: replicas share it, with those of another Ray too, and
                each would refuse what was meant for the other.
        """
        take_port(self.ports.ingress, "ANDON_SERVE__INGRESS")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="stack")
        begun = time.monotonic()

        def run(name: str, starter: Callable[[], LocalServer]) -> None:
            self.components[name] = starter()
            report(name, time.monotonic() - begun)

        pending = [self._threads.submit(run, n, s) for n, s in self._starters().items()]
        try:
            for future in pending:
                future.result()
        except BaseException:
            for future in pending:
                future.exception()
            self.stop()
            raise

    def stop(self) -> None:
        """Stop what runs, in the reverse order of need. May be called twice."""
        for name in ("ray", "s3", "postgres", "broker"):
            component = self.components.pop(name, None)
            if component is not None:
                component.stop()
        if self._threads is not None:
            self._threads.shutdown(wait=True)
            self._threads = None

    def restart(self, name: str) -> None:
        """Start a component that was killed, on its port and its data."""
        if self._threads is None:
            raise ProcessError(f"{name}: the stack does not run")
        self.components[name] = self._threads.submit(self._starters()[name]).result()

    @property
    def ray_logs(self) -> Path | None:
        """Where Ray's processes and replicas write their logs; None while Ray does not run."""
        from infra.stack.ray_local import LocalRay

        ray = self.components.get("ray")
        return ray.temp_dir / "session_latest" / "logs" if isinstance(ray, LocalRay) else None

    def leave(self) -> None:
        """Let the components of a stack that is not tethered run on without this process."""
        self.components.clear()
        self.stop()

    def settings(self, role: Role | None = None) -> Settings:
        """The same as ``environment``, for this process."""
        return Settings.model_validate(self._sections(role))

    def environment(self, role: Role | None = None) -> dict[str, str]:
        """Settings of one role's processes, as environment variables.

        Args:
            role: whose credentials a secured stack gives; None: the administrator's.
        """
        return {
            f"ANDON_{section}__{name}".upper(): (
                str(value).lower() if isinstance(value, bool) else str(value)
            )
            for section, values in self._sections(role).items()
            for name, value in values.items()
        }

    @property
    def _is_kafka(self) -> bool:
        """The embedded broker cannot be secured."""
        return self.secure or self.broker_kind == "kafka"

    @property
    def security_folder(self) -> Path:
        """Where certificates and passwords are."""
        return (self.folder / FOLDER).absolute()

    @property
    def _token_file(self) -> Path:
        return (self.token_file or self.folder / "ray_token").absolute()

    def _sections(self, role: Role | None) -> dict[str, dict[str, str | int]]:
        """What the processes must know of the stack, by section and name of the settings.

        The embedded broker gets one partition a topic, for one line and one worker of each role:
        it looks at each in every fetch. Apache Kafka answers a fetch as soon as there is a record;
        the embedded broker looks again after half of the wait (docs/adr/0186). Few parts wait for
        classify, and for the backbone's pass longer than for a fetch (docs/adr/0216).
        """
        is_kafka, ports = self._is_kafka, self.ports
        url = f"postgresql+asyncpg://postgres@{HOST}:{ports.postgres}/andon"
        sections: dict[str, dict[str, str | int]] = {
            "kafka": {
                "bootstrap_servers": f"{HOST}:{ports.broker}",
                "idempotent_producer": is_kafka,
                "partitions": PARTITIONS if is_kafka else 1,
                "fetch_max_wait_ms": 500 if is_kafka else 100 if role is Role.CLASSIFY else 20,
            },
            "postgres": {"url": url},
            "s3": {"endpoint": f"{HOST}:{ports.s3}"},
            "serve": {
                "address": f"{HOST}:{ports.ray}",
                "ingress": f"{HOST}:{ports.ingress}",
                "token_file": str(self._token_file),
            },
        }
        if self.secure:
            own, folder = role or Role.ADMIN, self.security_folder
            sections["postgres"]["url"] = database_url(folder, own, url)
            for section, values in sections_of(folder, own).items():
                sections.setdefault(section, {}).update(values)
        return sections

    def _starters(self) -> dict[str, Callable[[], LocalServer]]:
        from infra.stack.postgres_local import start_postgres
        from infra.stack.ray_local import start_ray

        logs, ports, tethered = self.folder / "logs", self.ports, self.tethered
        return {
            "ray": lambda: start_ray(
                ports.ray,
                ports.ray_dashboard,
                token_file=self._token_file,
                env=self._ray_environment,
                log_path=logs / "ray.log",
                tethered=tethered,
            ),
            "postgres": lambda: start_postgres(
                self.folder / "postgres",
                ports.postgres,
                logs / "postgres.log",
                tethered=tethered,
                security=database_security(self.security_folder) if self.secure else None,
            ),
            "s3": self._start_objects,
            "broker": self._start_broker,
        }

    @property
    def _ray_environment(self) -> dict[str, str]:
        """What Serve's replicas know of the stack."""
        ingress = {"ANDON_SERVE__INGRESS": f"{HOST}:{self.ports.ingress}"}
        return {**ingress, **(serving_environment(self.security_folder) if self.secure else {})}

    def _start_objects(self) -> LocalServer:
        """The embedded server. A secured stack takes MinIO where it is built: it knows policies."""
        from infra.stack.minio_local import minio_is_built, start_minio
        from infra.stack.s3_local import start_s3

        log, port, tethered = self.folder / "logs" / "s3.log", self.ports.s3, self.tethered
        data = self.folder / "s3"
        if not self.secure:
            return start_s3(data, port, log_path=log, tethered=tethered)
        admin, keys = Role.ADMIN.user, object_keys(self.security_folder)
        secret = keys.pop(admin)
        if data.is_dir() or not (self.with_minio and minio_is_built()):  # what was kept stays
            return start_s3(data, port, admin, secret, log, tethered=tethered, others=keys)
        data = private_folder(self.folder / "minio")  # it keeps the secrets of its users
        server = start_minio(data, port, admin, secret, log, tethered=tethered)
        apply_users(server.endpoint, admin, secret, keys)
        return server

    def _start_broker(self) -> LocalServer:
        log = self.folder / "logs" / "broker.log"
        if self._is_kafka:
            from infra.stack.kafka_local import kafka_available, start_kafka
            from infra.stack.kafka_secured import BrokerSecurity

            if self.secure and (reason := kafka_available()):
                raise ProcessError(
                    "ANDON_SECURE needs Apache Kafka, as the embedded broker has neither "
                    f"certificates nor access control lists: {reason}"
                )
            security = BrokerSecurity(self.security_folder) if self.secure else None
            data, port = self.folder / "kafka", self.ports.broker
            return start_kafka(data, port, log, tethered=self.tethered, security=security)
        from infra.stack.broker import start_broker

        return start_broker(self.ports.broker, log_path=log, tethered=self.tethered)
