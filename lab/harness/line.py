"""One simulated line from start to stop: stack, serving, roles, gateway, PLC."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from andon.stack.local import LocalStack
from andon.stack.plc_security import controller_pki
from infra.stack.process import Process, ProcessError, free_port
from lab.harness.failing_host import VARIABLE
from lab.harness.plan import LinePlan
from lab.harness.processes import RoleProcess, stop_all
from lab.plc.plan import PlannedPart
from streams.principals import Role

ROLES = ("inspect", "classify", "record")
READY_TIMEOUT_S = 180.0
SERVE_TEMPLATE = Path(__file__).parents[2] / "infra" / "serve.yaml"
LINE = "line1"
STATION = "station1"


@dataclass(frozen=True)
class LineOptions:
    """How the simulated line is paced."""

    takt_s: float = 0.2
    """Seconds between triggers."""
    window_s: float = 2.0
    """Result window T: the PLC decides by itself after it, seconds."""
    wait_result: bool = False
    """Trigger as soon as results are in, not sooner than the takt."""
    in_flight: int = 1
    """At most so many parts are without a result when ``wait_result`` is set."""


@dataclass
class SimulatedLine:
    """Andon's processes on a stack, each a child of this process.

    Roles are started by their commands with settings in the environment; what is killed is
    started again by its ``RoleProcess`` as a supervisor would.
    """

    folder: Path
    stack: LocalStack
    plan: LinePlan
    options: LineOptions = LineOptions()
    settings: Mapping[str, str] = field(default_factory=dict)
    """More settings, as environment variables."""
    failing_hosts: bool = False
    """Whether a disk or clock of a role can be told to fail, see ``lab.harness.failing_host``."""
    metrics_ports: dict[str, int] = field(default_factory=dict)
    """Name of a process -> the port of its metrics; a process without one exposes none."""
    roles: dict[str, RoleProcess] = field(default_factory=dict)
    plc: Process | None = None

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()
        self.plc_port = free_port()

    @property
    def ledger(self) -> Path:
        """The PLC's own book of the run."""
        return self.folder / "ledger.jsonl"

    def host_file(self, role: str) -> Path:
        """Where the process of a role reads what its host does to it."""
        return self.folder / "hosts" / f"{role}.json"

    @property
    def shots(self) -> int:
        """How many photographs the station takes of each part."""
        return max((len(part.photographs) for part in self.plan.parts), default=1)

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the commands around this line: the administrator's, if secured."""
        return self.environment_of(None)

    def environment_of(self, role: Role | None) -> dict[str, str]:
        """The settings of a process of this line; a secured stack gives each role its own."""
        shots = [
            {"name": f"side{n}", "camera": f"list:{self._pictures(n)}"}
            for n in range(1, self.shots + 1)
        ]
        return {
            **({"ANDON_GATEWAY__SHOTS": json.dumps(shots)} if self.shots > 1 else {}),
            **self.stack.environment(role),
            "ANDON_PATHS__STATE": str(self.folder / "state"),
            "ANDON_GATEWAY__LINE": LINE,
            "ANDON_GATEWAY__STATION": STATION,
            "ANDON_GATEWAY__PLC_URL": self.plc_url,
            "ANDON_GATEWAY__CAMERA": f"list:{self._pictures(1)}",
            "ANDON_GATEWAY__JOURNAL_DIR": str(self.folder / "state" / "journal"),
            "ANDON_GATEWAY__SPOOL_DIR": str(self.folder / "state" / "spool"),
            "ANDON_GATEWAY__RESULT_WINDOW_MS": str(round(1000 * self.options.window_s)),
            "ANDON_GATEWAY__IS_SIMULATED": "true",
            **self._watched(role),
            **self.settings,
        }

    def _watched(self, role: Role | None) -> dict[str, str]:
        """Where a process exposes its metrics; nothing for one that has no port."""
        if role is None or role.value not in self.metrics_ports:
            return {}
        section = role.value if role in (Role.GATEWAY, Role.CONSOLE) else "worker"
        return {f"ANDON_{section.upper()}__METRICS_PORT": str(self.metrics_ports[role.value])}

    @property
    def plc_url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.plc_port}"

    def start(self, roles: tuple[str, ...] = ROLES) -> dict[str, float]:
        """Start the roles and the gateway; seconds that each role took to work.

        The PLC is started by ``play``: the gateway connects to it when it is there.
        """
        self.write_plan()
        roles = (*roles, "join") if self.shots > 1 else roles
        commands = {role: ["worker", role] for role in roles} | {"gateway": ["gateway"]}
        for name, words in commands.items():
            environment = self.environment_of(Role(name))
            program = "andon"
            if self.failing_hosts:
                environment |= {VARIABLE: str(self.host_file(name))}
                program = "lab.harness.failing_host"
            self.roles[name] = RoleProcess(name, words, self.folder, environment, program)
        return {role: self.roles[role].wait_ready(READY_TIMEOUT_S) for role in roles}

    def play(self, on_part: Callable[[int], None] = lambda done: None) -> None:
        """Run the whole plan; returns once the PLC has closed its last window.

        Raises:
            ProcessError: the PLC did not finish, or the gateway never became ready.
        """
        self.start_plc()
        self.wait_plc(on_part)

    def start_plc(self) -> None:
        """Start the simulated PLC; it waits for Ready before its first trigger."""
        words = ["plc", "--plan", str(self.folder / "plan.jsonl"), "--ledger", str(self.ledger)]
        words += ["--url", self.plc_url, "--takt", str(self.options.takt_s)]
        words += ["--window", str(self.options.window_s), "--json"]
        if self.stack.secure:
            words += ["--security", str(controller_pki(self.stack.security_folder))]
        if self.options.wait_result:
            words += ["--wait-result", "--in-flight", str(self.options.in_flight)]
        self.plc = Process(
            "plc",
            [sys.executable, "-m", "andon", *words],
            self.folder / "logs" / "plc.log",
            self.environment,
        )

    @property
    def plc_runs(self) -> bool:
        """Whether the simulated PLC still plays."""
        return self.plc is not None and self.plc.running

    def wait_plc(self, on_part: Callable[[int], None] = lambda done: None) -> None:
        """Until the PLC has played its plan; tells ``on_part`` how many triggers there were."""
        if self.plc is None:
            raise ProcessError("the PLC was never started")
        follow = TriggerCount(self.ledger)
        while self.plc.running:
            on_part(follow.count())
            time.sleep(0.1)
        on_part(follow.count())
        if self.plc.returncode:
            raise ProcessError(
                f"the PLC ended with code {self.plc.returncode}:\n{self.plc.tail()}\n"
                f"gateway: {self.roles['gateway'].process.tail()}"
            )

    def stop(self) -> None:
        """End PLC, gateway and roles; the stack is its owner's to stop."""
        if self.plc is not None:
            self.plc.stop(5)
        stop_all(list(self.roles.values()))

    def pids(self) -> dict[str, int]:
        """Every component of the line and its process id: what CPU and memory are asked of."""
        stack = {name: c.process.pid for name, c in self.stack.components.items()}
        return stack | {name: role.process.pid for name, role in self.roles.items()}

    def write_plan(self) -> None:
        """Write the PLC's plan, and for each shot the camera's list of pictures."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "plan.jsonl").open("w") as plan:
            for part in self.plan.parts:
                product = part.product or self.plan.product
                row = PlannedPart(part_id=part.part_id, product_id=product, lot_id="lot-1")
                plan.write(row.model_dump_json() + "\n")
        for number in range(1, self.shots + 1):
            shown = (part.photographs[number - 1].path for part in self.plan.parts)
            self._pictures(number).write_text("".join(f"{path}\n" for path in shown))

    def _pictures(self, shot: int) -> Path:
        return self.folder / ("pictures.txt" if self.shots == 1 else f"pictures-{shot}.txt")


class TriggerCount:
    """Counts the triggers of a growing ledger without reading it anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._count = 0

    def count(self) -> int:
        """Triggers so far."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                chunk = stream.read()
        except OSError:
            return self._count
        whole = chunk[: chunk.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._count += whole.count(b'"event": "trigger"')
        return self._count
