"""Prometheus on loopback, from the machine's own program: what looks on while a line is played."""

import json
import math
import shutil
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from pydantic import BaseModel

from infra.stack.process import Process, ProcessError, answers_http, free_port
from infra.stack.server import HOST, LocalServer, launch

RULES = Path(__file__).parents[1] / "prometheus" / "andon.rules.yaml"
_ASK_TIMEOUT_S = 30.0
_READY_S = 60.0


def prometheus_available() -> str:
    """Why Prometheus cannot run here; empty when it can."""
    if shutil.which("prometheus") is not None:
        return ""
    return "no `prometheus` on the path; on Debian: apt-get install prometheus"


class _Curve(BaseModel):
    """A curve as Prometheus answers it: its labels, and a value at each moment of Unix time."""

    metric: dict[str, str]
    values: list[tuple[float, float]]


class _Curves(BaseModel):
    result: list[_Curve]


class _Answer(BaseModel):
    data: _Curves


@dataclass
class LocalPrometheus(LocalServer):
    """A Prometheus that scrapes processes of this machine and knows Andon's alerts."""

    def has_data(self, expr: str, since_s: float, until_s: float) -> bool:
        """Whether a curve of Grafana's would have a point: a finite value at any time.

        Args:
            expr: PromQL, without variables.
            since_s: Unix seconds of the first moment that is asked for.
            until_s: of the last one.

        Raises:
            ProcessError: the question is no PromQL, or Prometheus does not answer.
        """
        curves = self._over(expr, since_s, until_s)
        return any(math.isfinite(value) for one in curves for _, value in one.values)

    def alerts(self, since_s: float, until_s: float) -> list[str]:
        """The alerts that fired at any time, by their names.

        Raises:
            ProcessError: Prometheus does not answer.
        """
        fired = self._over('sum by (alertname) (ALERTS{alertstate="firing"})', since_s, until_s)
        return sorted(one.metric["alertname"] for one in fired)

    def _over(self, expr: str, since_s: float, until_s: float) -> list[_Curve]:
        """The curves of an expression, each with its labels and its values."""
        step_s = max(1.0, (until_s - since_s) / 1000)
        asked = {"query": expr, "start": since_s, "end": until_s, "step": step_s}
        url = f"http://{self.address}/api/v1/query_range?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=_ASK_TIMEOUT_S) as answer:
                return _Answer.model_validate_json(answer.read()).data.result
        except (OSError, HTTPException, ValueError) as error:
            raise ProcessError(f"prometheus: {expr}: {error}") from error


def start_prometheus(folder: Path, ports: Mapping[str, int]) -> LocalPrometheus:
    """Scrape the ports of this machine and return once questions are answered.

    Args:
        folder: for its configuration and its data; it is created.
        ports: the name of a process -> where its metrics are; the name is their label ``process``.

    Raises:
        ProcessError: no program, or it did not come up.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise ProcessError(prometheus_available())
    chosen = free_port()
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    scraped = [
        {"targets": [f"{HOST}:{one}"], "labels": {"process": name}} for name, one in ports.items()
    ]
    config = {
        "global": dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "1s"),
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "andon", "static_configs": scraped}],
    }
    path = folder / "prometheus.yml"
    path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    command = [program, f"--config.file={path}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address={HOST}:{chosen}"]

    def is_ready(_: Process) -> bool:
        return answers_http(chosen, "/-/ready")

    log = folder / "prometheus.log"
    process = launch("prometheus", command, log, is_ready, _READY_S)
    return LocalPrometheus(process, chosen)
