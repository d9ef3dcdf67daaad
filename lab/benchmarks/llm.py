"""Measures how much of an endpoint's capacity the multimodal classifier turns into answers."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.llm_twin.server import running_twin, twin_counters
from lab.percentiles import percentile
from serving.naming.endpoint import Endpoint
from serving.naming.settings import EndpointSettings, EndpointZone, VelmSettings
from serving.naming.velm import VelmClassifier
from streams.events import Classification


@dataclass(frozen=True)
class LlmLoad:
    """What a burst of anomalous frames met."""

    parts: int
    concurrency: int
    latency_ms: float
    seconds: float
    parts_per_s: float
    possible_per_s: float
    """Concurrency over latency."""
    share_of_possible: float
    answered: int
    calls: int
    most_in_flight: int
    """The most calls at once, as the twin saw them."""
    rejected: int
    """Requests that the twin found to break the protocol."""
    client_cpu_ms_per_part: float
    """CPU time of the classifier's process: pictures, encoding, protocol."""
    twin_cpu_ms_per_part: float
    """The same of the twin's process: protocol, validation, answer."""
    latency_p50_ms: float
    latency_p99_ms: float
    """The time from the burst to the answer, with the waiting."""


def measure_llm_load(parts: int = 200, latency_ms: float = 300.0, concurrency: int = 8) -> LlmLoad:
    """Ask ``parts`` questions at once of a twin in a process of its own.

    Raises:
        infra.stack.process.ProcessError: the twin did not start.
    """
    with (
        TemporaryDirectory(prefix="andon-twin-") as folder,
        running_twin(Path(folder) / "twin.log", "--latency-ms", str(latency_ms)) as url,
    ):
        before = twin_counters(url)
        seconds, cpu_s, answers = asyncio.run(_burst(url, parts, concurrency))
        seen = twin_counters(url)
    latencies = [a.latency_ms for a in answers] or [0.0]
    possible = concurrency / (latency_ms / 1000)
    rate = parts / seconds
    return LlmLoad(
        parts=parts,
        concurrency=concurrency,
        latency_ms=latency_ms,
        seconds=round(seconds, 3),
        parts_per_s=round(rate, 2),
        possible_per_s=round(possible, 2),
        share_of_possible=round(rate / possible, 3),
        answered=len(answers),
        calls=seen.requests - 1,  # one call warms the connection up
        most_in_flight=seen.in_flight_most,
        rejected=seen.rejected,
        client_cpu_ms_per_part=round(1000 * cpu_s / parts, 1),
        twin_cpu_ms_per_part=round(1000 * (seen.cpu_s - before.cpu_s) / parts, 1),
        latency_p50_ms=round(percentile(latencies, 0.5), 1),
        latency_p99_ms=round(percentile(latencies, 0.99), 1),
    )


async def _burst(
    url: str, parts: int, concurrency: int
) -> tuple[float, float, list[Classification]]:
    from andon.cli.llm_questions import PlainReference, drawn_request

    settings = EndpointSettings(
        name="twin",
        base_url=url,
        model="twin",
        zone=EndpointZone.LOOPBACK,
        logprobs=True,
        max_concurrency=concurrency,
        max_waiting=max(parts, 1),
    )
    classifier = VelmClassifier(Endpoint(settings), VelmSettings(), PlainReference())
    await classifier.start()
    try:
        requests = [drawn_request(600.0, number) for number in range(parts)]
        await classifier.classify(drawn_request(60.0, parts), 60.0)
        began, cpu_began = time.monotonic(), time.process_time()
        answers = await asyncio.gather(*(classifier.classify(r, 600.0) for r in requests))
        seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu_began
    finally:
        await classifier.close()
    return seconds, cpu_s, [a for a in answers if isinstance(a, Classification)]
