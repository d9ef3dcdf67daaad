"""``andon worker ROLE``: one Faust role in the foreground."""

from typing import Annotated, Literal

import typer

app = typer.Typer(add_completion=False)


@app.command()
def worker(
    role: Annotated[
        Literal["inspect", "classify", "join", "record", "limits", "mqtt"],
        typer.Argument(help="Which part of the flow this process does."),
    ],
) -> None:
    """Run one role until SIGTERM or Ctrl-C; what is in flight is finished first.

    inspect: frames to the vision expert. classify: anomalies to the classifier and the policy.
    join: the verdicts on the shots of a part, at stations that take several, to its one decision.
    record: everything to PostgreSQL and the object store. limits: decisions counted by line and
    product, alerts when a policy's limit is exceeded. mqtt: decisions, acknowledgements and alerts
    to an MQTT broker, of the settings' section ``mqtt``. Exit code 1 when the broker connection
    broke down for good: let a supervisor start it again.
    """
    import asyncio

    from andon.processes.heap import loading

    with loading():
        from andon.log import configure_logging
        from andon.processes.worker import run_worker
        from andon.settings import load_settings

    configure_logging(role)
    asyncio.run(run_worker(role, load_settings()))
