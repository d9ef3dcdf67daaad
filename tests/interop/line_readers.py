"""A run of the README's way as other people's readers see it."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx

from andon.stack.local import LocalStack
from infra.stack.process import Process, answers_http, free_port
from tests.console.make import new_token
from tests.history.views import read_views
from tests.interop.findings import (
    Findings,
    is_json,
)
from tests.interop.tools import NodeTools

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class LineReaders:
    """Node's packages, pandas and an HTTP client over one run."""

    stack: LocalStack
    folder: Path
    parts: int
    findings: Findings

    def read(self, node: NodeTools) -> None:
        """The same run as others see it."""
        check, path = self.findings.check, self.folder / "messages.jsonl"
        found = cast(
            dict[str, Any], node.run("asyncapi.cjs", ROOT / "docs" / "asyncapi.yaml", path)
        )
        problems = found["diagnostics"] + found["problems"]
        check("AsyncAPI parser and ajv: every message fits", not problems, problems[:5])
        topics = {"andon.frames", "andon.anomalies", "andon.decisions", "andon.acks"}
        check("kafkajs: every topic of a part", topics <= set(found["checked"]), found["checked"])
        events = cast(list[dict[str, Any]], node.run("cloudevents.cjs", path))
        check("CloudEvents SDK: every event is valid", all(e["valid"] for e in events))
        records = asyncio.run(read_views(self.stack.settings().postgres.url.get_secret_value()))
        parts = records["bi.part"]
        check("pandas: one row a part", len(parts) == self.parts, f"{len(parts)} of {self.parts}")
        self.over_http(node)

    def over_http(self, node: NodeTools) -> None:
        """Every picture that is kept is found by its key, and every other is 404."""
        check, port = self.findings.check, free_port()
        command = [sys.executable, "-m", "andon", "console", "--port", str(port)]
        log = self.folder / "logs" / "console.log"
        process = Process("console", command, log, self.stack.environment())
        try:
            process.wait_ready(lambda: answers_http(port, "/login"), 60)
            url = self.stack.settings().postgres.url.get_secret_value()
            headers = {"Authorization": f"Bearer {asyncio.run(new_token(url))}"}
            api = httpx.Client(base_url=f"http://127.0.0.1:{port}/api", headers=headers, timeout=30)
            frames = api.get("/frames", params={"limit": 1000}).json()["frames"]
            asked = {f["frame_id"]: api.get(f"/frames/{f['frame_id']}/image") for f in frames}
            wrong = [
                (f["frame_id"], asked[f["frame_id"]].status_code)
                for f in frames
                if asked[f["frame_id"]].status_code != (200 if f["image_key"] else 404)
            ]
            check("HTTP API: pictures, or 404", not wrong, wrong[:5])
            s3 = self.stack.settings().s3
            keys = [f["image_key"] for f in frames if f["image_key"]]
            secrets = (s3.access_key.get_secret_value(), s3.secret_key.get_secret_value())
            where = (f"http://{s3.endpoint}", s3.bucket, *secrets)
            read = cast(dict[str, Any], node.run("pictures.cjs", *where, *keys))["read"]
            sizes = {f["image_key"]: len(asked[f["frame_id"]].content) for f in frames}
            lost = {key: size for key, size in read.items() if size != sizes[key]}
            check("AWS SDK: every picture by its key", read and not lost, lost)
        finally:
            process.stop()

    def logs(self) -> None:
        """Every line of a process is JSON, and no process met what it did not expect."""
        check = self.findings.check
        for path in sorted((self.folder / "logs").glob("*.log")):
            if path.stem in ("plc", "console"):
                continue
            lines = path.read_text(errors="replace").splitlines()
            plain = [text for text in lines if not is_json(text)]
            check(f"log of {path.stem}: JSON throughout", not plain, plain[:4])
            errors = [text for text in lines if '"level": "error"' in text]
            expected = [text for text in errors if "away" in text or "failed" in text]
            check(f"log of {path.stem}: no false error", len(errors) == len(expected), errors[:4])
