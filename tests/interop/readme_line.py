"""The README's way, process by process, on Apache Kafka, with other people's readers attached.

    python -m tests.interop.readme_line FOLDER [--parts N]

The store is empty when Serve is deployed, then an expert is trained and taught, a policy applied,
and each process started by its own command, two workers of the role inspect among them. While parts
run, a version is put in force and a replica killed. kafkajs follows every topic, and afterwards the
AsyncAPI parser with ajv, the CloudEvents SDK of JavaScript, the AWS SDK and pandas read it all.
What went wrong is printed, each with the command or reader that shows it; exit code 1.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from andon.stack.local import LocalStack, StackPorts
from andon.stack.prepare import prepare
from infra.stack.process import free_port
from lab.datasets.textile import TEXTILE, textile_dataset
from lab.harness.line import LineOptions, SimulatedLine, TriggerCount
from lab.harness.plan import LinePlan, cycle, make_plan
from lab.harness.processes import RoleProcess
from lab.harness.settle import settle
from lab.plc.ledger import read_ledger
from tests.interop.findings import (
    Findings,
    ended,
    following,
    misnamed,
    replica_processes,
    said,
    tail,
    versions_in,
)
from tests.interop.line_readers import LineReaders
from tests.interop.tools import node_tools

ROOT = Path(__file__).parents[2]
TRAIN = 24
"""Normal textiles that train: enough for a verdict, not for a good one."""
ROLES = ("inspect", "classify", "record", "limits")
WINDOW_S = 6.0
"""Long, so that a busy machine is no fault."""
LINES_WITHOUT_PLC = 6
"""Log lines that a gateway may write while its controller is away."""


@dataclass
class ReadmeLine:
    """One run; ``folder`` is the current one of every command, as a plant's would be."""

    folder: Path
    parts: int
    findings: Findings = field(default_factory=Findings)

    def run(self) -> list[str]:
        """Everything, in the README's order; returns what went wrong."""
        self.folder.mkdir(parents=True, exist_ok=True)
        os.chdir(self.folder)  # Ray's replicas and every command look for .andon below it
        self.stack = LocalStack(
            self.folder / ".andon" / "stack",
            replace(StackPorts.free(), ray_dashboard=free_port()),
            broker_kind="kafka",
        )
        self.stack.start()
        try:
            asyncio.run(prepare(self.stack.settings(), [], "interop"))
            self.pictures()
            self.models()
            self.play()
        finally:
            self.stack.stop()
        return self.findings.faults

    # --- Before the line ----------------------------------------------------------------------

    def pictures(self) -> None:
        """A folder in MVTec layout, as people have them: normals, defects and masks."""
        source = textile_dataset()
        self.plan: LinePlan = make_plan(
            TEXTILE, source.train[:TRAIN], source.test, {"local", "global"}, self.parts
        )
        self.root = self.folder / "textile"
        for name, samples in {
            "train/good": self.plan.train,
            **{f"test/{label}": found for label, found in self.plan.exemplars.items()},
        }.items():
            (self.root / name).mkdir(parents=True)
            for sample in samples:
                shutil.copy(sample.path, self.root / name)

    def models(self) -> None:
        """Deploy on an empty store, train, teach, apply: in this order, as the README has it."""
        check = self.findings.check
        done = self.serve("deploy", str(ROOT / "infra" / "serve.yaml"))
        check("serve deploy on an empty store", done.returncode == 0, tail(done))
        done = self.andon("train", "--product", TEXTILE, "--images", self.root, "--json")
        if done.returncode == 1:  # it may refuse a root with defects in it, if it says what to give
            check("train --images ROOT says what to give", "train/good" in said(done), tail(done))
            normals = self.root / "train" / "good"
            done = self.andon("train", "--product", TEXTILE, "--images", normals, "--json")
        check("andon train", done.returncode == 0, tail(done))
        manifests = list((self.folder / ".andon" / "artifacts").rglob("manifest.json"))
        used = json.dumps([json.loads(path.read_text()) for path in manifests])
        check(
            "a defect is never taken for a normal", "test/" not in used, "the manifest names test/"
        )
        self.deploy()
        words: list[str | Path] = ["--normals", self.root / "train" / "good"]
        for label in self.plan.exemplars:
            folder = self.root / "test" / label
            done = self.andon("classify", "teach", "-p", TEXTILE, "-c", label, folder, *words)
            check(f"andon classify teach {label}", done.returncode == 0, tail(done))
            words = []
        failing = [f for f in self.doctor_says("-p", TEXTILE) if not f.get("ok")]
        told = [f for f in failing if TEXTILE in json.dumps(f) and "polic" in json.dumps(f)]
        check("andon doctor says that the product has no policy in force", told, failing)
        policy = ROOT / "policies" / "products" / "textile.yaml"
        done = self.andon("policy", "apply", policy, "--reason", "interop", "--yes")
        check("andon policy apply", done.returncode == 0, tail(done))

    def deploy(self) -> None:
        """The file that is deployed already takes what was trained since; no digest is made up."""
        check, shipped = self.findings.check, ROOT / "infra" / "serve.yaml"
        done = self.andon("deploy", shipped)
        check("andon deploy after a training", done.returncode == 0, tail(done))
        unknown = self.folder / "unknown.yaml"
        text = shipped.read_text(encoding="utf-8")
        unknown.write_text(
            text.replace("products: latest", f"products: {{{TEXTILE}: {'ab' * 32}}}")
        )
        done = self.andon("deploy", unknown)
        refused = done.returncode == 1 and "abab" in said(done) and "Traceback" not in said(done)
        check("a digest that is not in the store is refused", refused, tail(done))

    # --- The line -----------------------------------------------------------------------------

    def play(self) -> None:
        """Parts run while a version is put in force and a replica is killed."""
        options = LineOptions(takt_s=0.5, window_s=WINDOW_S)
        settings = {
            "ANDON_LOG_JSON": "true",
            "ANDON_PATHS__POLICIES": str(ROOT / "policies/products"),
        }
        line = SimulatedLine(
            self.folder, self.stack, cycle(self.plan, self.parts), options, settings
        )
        node = node_tools()
        try:
            line.start(ROLES)
            second = RoleProcess("inspect-2", ["worker", "inspect"], self.folder, line.environment)
            line.roles["inspect-2"] = second
            second.wait_ready(60)
            self.findings.check("a second worker of a role is ready", second.process.running)
            self.alone(line)
            self.metrics_port_in_use(line)
            with following(node, self.stack, self.folder / "messages.jsonl"):
                line.start_plc()
                first, until = TriggerCount(line.ledger), time.monotonic() + 60
                while not first.count() and time.monotonic() < until:
                    time.sleep(0.2)
                self.doctor(line)
                self.disturb(line)
                line.wait_plc()
                self.settled(line)
                self.wait_for_messages()
            readers = LineReaders(self.stack, self.folder, self.parts, self.findings)
            readers.read(node)
        finally:
            line.stop()
        readers.logs()

    def alone(self, line: SimulatedLine) -> None:
        """A gateway without its controller says so, and not three times a second."""
        time.sleep(10)  # the only way to see that it keeps silent
        lines = line.roles["gateway"].process.log_path.read_text().splitlines()
        about = [text for text in lines if "plc" in text]
        self.findings.check(
            "a gateway without its controller is quiet", len(about) <= LINES_WITHOUT_PLC, about[-6:]
        )

    def doctor_says(self, *words: str, more: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """The findings of ``andon doctor``; none where it prints no JSON."""
        done = self.andon("doctor", "--json", *words, more=more)
        found = json.loads(done.stdout) if done.stdout.strip().startswith(("[", "{")) else []
        rows = found if isinstance(found, list) else found.get("findings", [])
        return [row for row in rows if isinstance(row, dict)]

    def doctor(self, line: SimulatedLine) -> None:
        """A part could be decided now; names are whole in a pipe."""
        found = self.doctor_says(more=line.environment)
        failing = [f for f in found if not f.get("ok")]
        check = self.findings.check
        check("andon doctor finds the line able to decide", found and not failing, failing)
        piped = self.andon("doctor", more=line.environment).stdout
        check("piped tables keep whole names", piped and "…" not in piped, piped[-1500:])

    def metrics_port_in_use(self, line: SimulatedLine) -> None:
        port = str(self.stack.ports.broker)
        more = {**line.environment, "ANDON_WORKER__METRICS_PORT": port}
        done = self.andon("worker", "record", more=more, timeout_s=60)
        refused = done.returncode not in (0, 124) and "Traceback" not in said(done)
        self.findings.check("a metrics port in use is refused in words", refused, tail(done))

    def disturb(self, line: SimulatedLine) -> None:
        """In the middle of the run: another version in force, and a replica killed."""
        listed = json.loads(self.andon("models", "list", "-p", TEXTILE, "--json").stdout or "[]")
        digests = [v["digest"] for v in versions_in(listed) if not v.get("in_force")]
        if digests:
            done = self.andon("models", "use", TEXTILE, digests[-1], "--reason", "interop")
            self.findings.check(
                "andon models use waits and tells", done.returncode == 0, tail(done)
            )
        else:
            self.findings.check("a second version is listed", False, listed)
        victims = replica_processes(self.stack)
        self.findings.check("there is a replica to kill", victims)
        if victims:
            victims[0].kill()

    def settled(self, line: SimulatedLine) -> None:
        """No part without a decision, none held by the swap or the kill, and reasons that fit."""
        ledger = read_ledger(line.ledger)
        settings = self.stack.settings()
        kafka, balance = asyncio.run(settle(settings, ledger, self.parts))
        check = self.findings.check
        check("no part is lost", not balance.lost, balance.lost)
        check("no part is acted on twice", not balance.acted_twice, balance.acted_twice)
        held = [
            f"{d.part_id} {d.source.value} {d.reason_code.name}: {d.reason}"
            for d in balance.effective.values()
            if d.source.value in ("fallback", "watchdog")
            and d.reason_code.name not in ("UNKNOWN_CLASS", "UNSURE")
        ]
        check("a swap and a killed replica hold no part", not held, held[:6])
        passed = [d for d in balance.effective.values() if d.action.value == "pass"]
        check("good parts pass", passed, [d.reason for d in balance.effective.values()][:3])
        check(
            "reasons name the stage", not misnamed(kafka.decisions), misnamed(kafka.decisions)[:4]
        )

    def wait_for_messages(self) -> None:
        """Until kafkajs has what the topics hold: as many decisions as parts."""
        path, until = self.folder / "messages.jsonl", time.monotonic() + 90
        while time.monotonic() < until:
            text = path.read_text() if path.is_file() else ""
            topics = ('"andon.decisions"', '"andon.acks"')
            if all(text.count(topic) >= self.parts for topic in topics):
                return
            time.sleep(1)
        self.findings.check(
            "kafkajs follows every topic", False, "decisions are missing after 90 s"
        )

    # --- Commands -----------------------------------------------------------------------------

    def andon(
        self, *words: str | Path, more: dict[str, str] | None = None, timeout_s: float = 900
    ) -> "subprocess.CompletedProcess[str]":
        """A command as the README writes it, with the plant's settings."""
        command = [sys.executable, "-m", "andon", *map(str, words)]
        return ended(command, {**self.stack.environment(), **(more or {})}, timeout_s)

    def serve(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Ray's own command, with the stack's token."""
        command = [str(Path(sys.executable).with_name("serve")), *words]
        command += ["--address", f"http://127.0.0.1:{self.stack.ports.ray_dashboard}"]
        token = {"RAY_AUTH_MODE": "token"}
        token["RAY_AUTH_TOKEN_PATH"] = self.stack.environment()["ANDON_SERVE__TOKEN_FILE"]
        return ended(command, token, 300)


def main() -> None:
    """Run it, and print the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", type=int, default=100)
    given = parser.parse_args()
    line = ReadmeLine(given.folder.resolve(), given.parts)
    faults = line.run()
    count = len(line.findings.passed)
    verdict = f"{len(faults)} faults" if faults else "no fault of the list"
    sys.stdout.write("\n".join([f"{count} promises hold", *faults, verdict]) + "\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
