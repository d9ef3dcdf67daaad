"""What a run of the README's way found, and what it reads of commands, processes and decisions."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psutil

from andon.stack.local import LocalStack
from infra.stack.process import Process
from streams.events import Decision
from streams.topics import ALL
from tests.interop.tools import NodeTools


@dataclass
class Findings:
    """What went wrong, by the number of what was promised."""

    faults: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)

    def check(self, name: str, holds: object, found: object = "") -> None:
        """Note whether a promise holds; ``found`` says what was there instead."""
        (self.passed if holds else self.faults).append(name if holds else f"{name}: {found}"[:2000])
        sys.stderr.write(f"{'ok   ' if holds else 'FAULT'} {name}\n")


@contextmanager
def following(node: NodeTools, stack: LocalStack, out: Path) -> Iterator[None]:
    """kafkajs reads every topic meanwhile."""
    script = Path(__file__).parent / "node" / "follow.cjs"
    servers = stack.settings().kafka.bootstrap_servers
    words = ["node", str(script), servers, str(out), *(topic.name for topic in ALL)]
    environment = {"NODE_PATH": str(node.packages / "node_modules")}
    process = Process("kafkajs", words, out.with_name("kafkajs.log"), environment)
    try:
        yield
    finally:
        process.stop(5)


def ended(
    command: Sequence[str], more: dict[str, str], timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    """The command's end; 124 where it has none in time."""
    environment = {**os.environ, **more}
    try:
        return subprocess.run(
            list(command), env=environment, capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired as late:
        out = late.stdout.decode() if isinstance(late.stdout, bytes) else ""
        return subprocess.CompletedProcess(list(command), 124, out, f"no end in {timeout_s} s")


def said(done: "subprocess.CompletedProcess[str]") -> str:
    return done.stdout + done.stderr


def tail(done: "subprocess.CompletedProcess[str]") -> str:
    return f"exit {done.returncode}: {said(done)[-600:]}"


def is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return not text.strip()


def versions_in(listed: object) -> list[dict[str, Any]]:
    """The versions of what ``andon models list --json`` prints, wherever they stand."""
    if isinstance(listed, dict):
        own = [cast(dict[str, Any], listed)] if "digest" in listed else []
        return own + [v for below in listed.values() for v in versions_in(below)]
    return [v for below in listed for v in versions_in(below)] if isinstance(listed, list) else []


def replica_processes(stack: LocalStack) -> list[psutil.Process]:
    """The replicas of the vision expert below the stack's Ray."""
    head = psutil.Process(stack.components["ray"].pid)
    below = [head, *head.children(recursive=True)]
    return [
        p for p in below if "ServeReplica" in (c := " ".join(p.cmdline())) and "VisionExpert" in c
    ]


def misnamed(decisions: Sequence[Decision]) -> list[str]:
    """Reasons that blame the classifier for parts that no expert has seen."""
    return [
        f"{d.part_id}: {d.reason}"
        for d in decisions
        if d.inspection is None and "classifier" in d.reason and d.source.value == "fallback"
    ]
