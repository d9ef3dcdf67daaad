"""What ``import_path`` of ``infra/serve.yaml`` names: the Serve application, composed."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from andon.settings import Settings, load_settings
from andon.wiring import s3_objects
from serving.ray.settings import AppSettings
from serving.ray.store import ArtifactStore, open_folder, split_s3

if TYPE_CHECKING:
    from serving.ray.app import Application

CONFIGURED = "settings"
"""``classifier.kind`` that defers to Andon's settings."""


def build(args: AppSettings) -> "Application":
    """Ray Serve's builder; ``args`` is the application's ``args`` of the YAML."""
    from serving.ray.app import build_application

    settings = load_settings()
    paths = settings.paths
    return build_application(
        with_configured_classifier(args, settings),
        partial(open_store, args.artifacts or paths.artifacts),
        partial(open_store, args.exemplars or paths.exemplars),
    )


def with_configured_classifier(args: AppSettings, settings: Settings) -> AppSettings:
    """``classifier.kind: settings`` becomes what ``ANDON_CLASSIFIER__*`` says where Ray runs.

    Raises:
        ValueError: an endpoint's key is in the settings themselves (``serve_options``).
    """
    if args.classifier is None or args.classifier.kind != CONFIGURED:
        return args
    from serving.naming.build import serve_options

    chosen, options = settings.classifier, serve_options(settings.classifier)
    classifier = args.classifier.model_copy(update={"kind": chosen.kind, "options": options})
    return args.model_copy(update={"classifier": classifier})


def open_store(location: str) -> ArtifactStore:
    """The store at ``location``, a folder or ``s3://bucket/prefix``, with this host's settings."""
    settings: Settings = load_settings()
    if not location.startswith("s3://"):
        return open_folder(Path(location))
    objects = s3_objects(settings, *split_s3(location))
    return ArtifactStore(objects, settings.paths.state / "cache" / "bundles")
