"""``andon llm twin`` and ``andon llm cascade``: an endpoint's local twin, and what it measures."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from andon.cli.llm import LlmCommandError
from andon.cli.printing import print_found
from lab.cli.tables import table_of

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command()
def twin(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 18080,
    latency_ms: Annotated[
        float, typer.Option(min=0, help="Wait before each answer, milliseconds.")
    ] = 0.0,
    jitter_ms: Annotated[
        float, typer.Option(min=0, help="At most so much longer, drawn evenly, milliseconds.")
    ] = 0.0,
    failure_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of requests answered with HTTP 500.")
    ] = 0.0,
    rate_limit_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of requests answered with HTTP 429.")
    ] = 0.0,
    requests_per_s: Annotated[
        float | None, typer.Option(min=0.001, help="More in a second are answered with HTTP 429.")
    ] = None,
    rubbish: Annotated[
        str, typer.Option(help="In place of each answer, such as refusal, not_json or empty.")
    ] = "none",
    logprobs: Annotated[bool, typer.Option(help="Give log-probabilities when asked.")] = True,
    manifest: Annotated[
        Path | None, typer.Option(help="JSON: picture digest -> right answer.", exists=True)
    ] = None,
    accuracy: Annotated[
        float, typer.Option(min=0, max=1, help="With --manifest: share of right answers.")
    ] = 0.85,
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn.")] = 0,
) -> None:
    """Run the twin until interrupted. Counters: GET /twin/counters."""
    from lab.llm_twin.app import Twin
    from lab.llm_twin.behaviour import Behaviour
    from lab.llm_twin.responders import HeuristicResponder, ManifestResponder, Responder
    from lab.llm_twin.server import TwinServer

    try:
        behaviour = Behaviour(
            latency_ms=latency_ms,
            jitter_ms=jitter_ms,
            failure_rate=failure_rate,
            rate_limit_rate=rate_limit_rate,
            requests_per_s=requests_per_s,
            rubbish=rubbish,
            logprobs=logprobs,
            seed=seed,
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise typer.BadParameter(f"--{name}: {first['msg']}") from None
    responder: Responder = HeuristicResponder()
    if manifest is not None:
        responder = ManifestResponder(_truth(manifest), accuracy, seed)
    server = TwinServer(Twin(behaviour, responder), host, port)
    typer.echo(f"twin of an OpenAI-compatible endpoint at {server.base_url} (Ctrl-C stops)")
    server.serve()


@app.command()
def cascade(
    folder: Annotated[Path, typer.Argument(help="Data set with parts.csv.", exists=True)],
    shots: Annotated[int, typer.Option(min=1, max=64, help="Exemplars per class.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Draws of the exemplars.")] = 5,
    accuracy: Annotated[
        list[float] | None, typer.Option(help="Of the twin; default .60 .70 .85 .95.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Measure the cascade: calls saved and accuracy kept, with a twin that is right so often."""
    from lab.benchmarks.cascade import measure_cascade
    from lab.datasets.folders import load_dataset

    with Console(stderr=True).status("asking") as status:
        rows = measure_cascade(
            load_dataset(folder),
            shots=shots,
            seeds=seeds,
            accuracies=tuple(accuracy or (0.6, 0.7, 0.85, 0.95)),
            report=status.update,
        )
    cells = [[str(value) for value in row.values()] for row in rows]
    print_found(rows, [table_of(list(rows[0]), cells, left=len(rows[0]))], as_json)


def _truth(path: Path) -> dict[str, str]:
    try:
        return TypeAdapter(dict[str, str]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise LlmCommandError(f"{path}: expected an object of digest -> answer: {error}") from error
