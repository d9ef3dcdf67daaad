"""``andon deploy``: the serving application on the Ray of the settings, checked and waited for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from andon.build import build
from andon.cli.options import Json
from andon.cli.printing import print_found
from andon.settings import Settings, load_settings
from andon.wiring import storage
from serving.errors import DeployError
from serving.ray.builds import START_RAY_AGAIN, other_builds
from serving.ray.deploy import Config, check_config, deploy, read_config
from serving.ray.settings import CLASSIFIER, LATEST, VISION
from streams.errors import AndonError

app = typer.Typer(add_completion=False)


@app.command("deploy")
def deploy_(
    file: Annotated[
        Path, typer.Argument(help="Serve's configuration, as infra/serve.yaml.")
    ] = Path("infra/serve.yaml"),
    wait: Annotated[
        float, typer.Option(min=1, max=3600, help="Longest wait for the replicas, seconds.")
    ] = 180.0,
    as_json: Json = False,
) -> None:
    """Deploy the models: returns once every replica has what the file names, or says why not.

    Digests are looked for in the store first, so that a file which names one that is not there
    changes nothing. `serve deploy` takes the same file, and waits for nothing.
    """
    settings, config = load_settings(), read_config(file)
    check_config(config, str(file))
    check_digests(config, settings, str(file))
    token = settings.serve.token_file
    if not token.exists() and not settings.serve.without_token:
        raise DeployError(
            f"no token of the Ray in {token} (ANDON_SERVE__TOKEN_FILE); without one anyone who "
            "reaches a replica's port runs code there, and ANDON_SERVE__WITHOUT_TOKEN=true says "
            "that this is meant"
        )
    with Console(stderr=True).status(f"deploying {file} on the Ray at {settings.serve.address}"):
        found = deploy(config, settings.serve.address, wait, settings.serve.token_file)
    if others := other_builds(found.get("builds", {}), build()):
        typer.echo(f"warning: {others}; {START_RAY_AGAIN}", err=True)
    print_found(found, [f"{found['application']}: {found['status']}"], as_json)


def check_digests(config: Config, settings: Settings, where: str) -> None:
    """Look for every version that is named by its digest.

    Raises:
        DeployError: names each that is not in its store, or was altered there.
    """
    app = config["applications"][0]
    arguments = app.get("args") or {}
    places = {
        VISION: ("products", arguments.get("artifacts") or settings.paths.artifacts),
        CLASSIFIER: ("exemplars", arguments.get("exemplars") or settings.paths.exemplars),
    }
    wrong = []
    for deployment in app.get("deployments", []):
        name, location = places.get(deployment.get("name"), ("", ""))
        named = (deployment.get("user_config") or {}).get(name)
        pinned = named.items() if isinstance(named, Mapping) else ()
        for product, digest in pinned:
            try:
                if digest != LATEST:
                    storage.bundle_store(location).manifest(product, digest)
            except AndonError as error:
                wrong.append(f"user_config of {deployment['name']}: {error}")
    if wrong:
        raise DeployError(f"{where}: {'; '.join(wrong)}; nothing was changed")
