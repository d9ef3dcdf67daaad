"""LiteLLM's proxy: somebody else's reading of Chat Completions, to check ours against.

Kept out of our dependencies: it lives in ``.venvs/litellm``, made on first use.

    python -m tests.lab.llm_twin.litellm_proxy    # make the environment, print its path
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from infra.stack.process import Process, answers_http, free_port
from infra.stack.server import launch
from lab.peers.environment import PeerError, programs_of
from streams.errors import AndonError

REQUIREMENT: Final = "litellm[proxy]==1.106.2"
VENV: Final = Path(".venvs/litellm")
KEY: Final = "sk-local-check"


def install() -> Path:
    """The environment's ``litellm`` program; made when absent (about 100 packages).

    Raises:
        PeerError: no ``uv``, no registry, or the installation failed.
    """
    return programs_of(VENV, (REQUIREMENT,)) / "litellm"


@contextmanager
def running_proxy(
    program: Path, upstream: str, mock_answer: str, timeout_s: float = 120.0
) -> Iterator[str]:
    """A proxy with two models; yields its ``base_url``.

    ``mock`` answers ``mock_answer`` itself; ``upstream`` forwards to the OpenAI-compatible
    ``base_url`` given as ``upstream``, model ``twin``.

    Raises:
        PeerError: it did not start.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="andon-litellm-") as folder:
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(_config(upstream, mock_answer)), encoding="utf-8")
        command = [str(program), "--config", str(config), "--host", "127.0.0.1"]
        quiet = {"LITELLM_TELEMETRY": "False", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        command += ["--port", str(port)]
        log = Path(folder) / "litellm.log"

        def is_alive(_: Process) -> bool:
            return answers_http(port, "/health/liveliness")

        try:
            process = launch("litellm", command, log, is_alive, timeout_s, quiet)
        except AndonError as error:
            raise PeerError(f"LiteLLM's proxy: {error}") from error
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.stop()


def _config(upstream: str, mock_answer: str) -> dict[str, object]:
    models = {
        "mock": {"model": "openai/mock", "api_key": "none", "mock_response": mock_answer},
        "upstream": {"model": "openai/twin", "api_base": upstream, "api_key": "none"},
    }
    return {
        "model_list": [{"model_name": n, "litellm_params": p} for n, p in models.items()],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"telemetry": False, "num_retries": 0},
    }


if __name__ == "__main__":
    sys.stdout.write(f"{install()}\n")
