"""schemathesis reads the API's own description and asks it everything: a real process answers."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import pytest_asyncio

from andon.settings import Settings
from andon.wiring import brokers
from console.access import ConsoleRole
from history.object_store import S3ImageStore, S3Objects
from history.writer import PostgresHistoryWriter
from infra.stack.broker import Broker
from infra.stack.process import Process, answers_http, free_port
from infra.stack.s3_local import LocalS3
from streams.codes import Action, DecisionSource
from streams.ids import image_key, mask_key
from streams.kafka.topic_admin import ensure_topics
from tests.console.make import new_token
from tests.history import make

BUCKET = "schemathesis"
KEPT, EXPIRED, SCRIPT, NEVER_KEPT = (make.frame_id(number) for number in (1, 2, 3, 4))
PICTURES = [
    (KEPT, 200, 200, 200),
    (EXPIRED, 404, 404, 404),
    (SCRIPT, 200, 404, 415),
    (NEVER_KEPT, 404, 404, 404),
    (make.frame_id(9), 404, 404, 404),
]
"""A frame, and the status of its image, its mask and its region."""
PHASES = {2: "fuzzing", 300: "examples,coverage,fuzzing,stateful"}
CASES = [
    pytest.param(2, id="few"),
    pytest.param(300, id="many", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
]


@pytest_asyncio.fixture
async def parts(writer: PostgresHistoryWriter, s3: LocalS3) -> AsyncIterator[None]:
    """A part whose pictures are kept, one whose are gone, one that is a script, one that passed."""
    scrapped = (DecisionSource.CLASSIFIER, Action.SCRAP, "crack")
    await writer.add_decisions(
        [*(make.decision(number, *scrapped) for number in (1, 2, 3)), make.decision(4)]
    )
    await writer.add_anomalies([make.anomaly(number) for number in (1, 2, 3)])
    store = S3ImageStore(S3Objects(s3.endpoint, s3.access_key, s3.secret_key, bucket=BUCKET))
    picture = cv2.imencode(".jpg", np.full((64, 64, 3), 128, np.uint8))[1].tobytes()
    await store.put(image_key(KEPT), picture, "image/jpeg")
    await store.put(
        mask_key(KEPT), cv2.imencode(".png", np.zeros((64, 64), np.uint8))[1].tobytes(), "image/png"
    )
    await store.put(image_key(SCRIPT), b"<script>alert(1)</script>", "text/html")
    yield
    await store.close()


@pytest_asyncio.fixture
async def token(url: str) -> str:
    return await new_token(url, ConsoleRole.ADMIN)


async def prepare_topics(settings: Settings) -> None:
    await ensure_topics(brokers.kafka_connection(settings), brokers.topics_wanted(settings))


@pytest.fixture
def console(
    parts: None, token: str, url: str, s3: LocalS3, fresh_broker: Broker, tmp_path: Path
) -> Iterator[str]:
    """The address of ``andon console`` over the real database, embedded broker and S3."""
    kafka = {
        "bootstrap_servers": fresh_broker.address,
        "idempotent_producer": False,
        "partitions": 1,
    }
    asyncio.run(prepare_topics(Settings.model_validate({"kafka": kafka})))
    port = free_port()
    settings = {
        "ANDON_POSTGRES__URL": url,
        **{f"ANDON_KAFKA__{name.upper()}": str(value).lower() for name, value in kafka.items()},
        "ANDON_S3__ENDPOINT": s3.endpoint,
        "ANDON_S3__ACCESS_KEY": s3.access_key,
        "ANDON_S3__SECRET_KEY": s3.secret_key,
        "ANDON_S3__BUCKET": BUCKET,
    }
    command = [sys.executable, "-m", "andon", "console", "--port", str(port)]
    process = Process("console", command, tmp_path / "console.log", settings)
    try:
        process.wait_ready(lambda: answers_http(port, "/login"), 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


@pytest.mark.parametrize("cases", CASES)
def test_it_answers_as_it_describes(console: str, token: str, cases: int, tmp_path: Path) -> None:
    if find_spec("schemathesis") is None:
        pytest.skip("schemathesis is not installed: `make setup` does")
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    command += ["run", f"{console}/api/openapi.json", "--max-examples", str(cases), "--seed", "7"]
    command += ["--phases", PHASES[cases], "--header", f"Authorization: Bearer {token}"]
    command += ["--generation-database", "none", "--checks", "all", "--no-color"]
    # The doctor waits for each store that is away.
    command += ["--request-timeout", "120", "--max-response-time", "120"]
    # Times and cursors are narrower than JSON Schema can say, so some that fit it are refused.
    command += ["--exclude-checks", "positive_data_acceptance"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=850)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_a_picture_that_is_not_kept_is_404(console: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=console, headers=headers) as client:
        described = client.get("/api/openapi.json").json()["paths"]
        for frame, *statuses in PICTURES:
            for name, status in zip(("image", "mask", "region"), statuses, strict=True):
                answer = client.get(f"/api/frames/{frame}/{name}")
                assert answer.status_code == status, answer.text
                documented = described[f"/api/frames/{{frame_id}}/{name}"]["get"]["responses"]
                assert answer.headers["content-type"] in documented[str(status)]["content"]
