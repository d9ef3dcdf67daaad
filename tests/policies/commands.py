"""``andon policy`` as tests call it, and what it brought about."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from andon.cli.policy import app
from policies.source import KafkaPolicySource
from streams.codes import Action
from streams.events import Classification
from streams.kafka.connection import KafkaConnection
from streams.ports import Situation

POLICY = """\
product: {product}
mm_per_px: {{default: 0.1}}
classes:
  crack: {{severity: defect, action: {crack}}}
  dust: {{severity: negligible, action: pass}}
fallbacks: {{unsure: {{below: 0.2}}}}
"""


def andon(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def answer_of(result: Result) -> Any:
    assert result.stdout, (result.output, result.exception)
    return json.loads(result.stdout)


def write(folder: Path, product: str, crack: str, name: str = "p.yaml") -> Path:
    path = folder / name
    path.write_text(POLICY.format(product=product, crack=crack))
    return path


async def in_force(servers: str, product: str) -> tuple[str, Action]:
    """The hash of a product's policy at the broker, and what it does with a crack."""
    source = KafkaPolicySource(KafkaConnection(servers, fetch_max_wait_ms=20))
    await source.start()
    try:
        policy = source.for_product(product)
        crack = Classification(class_name="crack", confidence=1, classifier="t")
        return policy.policy_hash, policy.decide(Situation(classification=crack)).action
    finally:
        await source.stop()
