"""What ``import_path`` of ``infra/serve.yaml`` names: the Serve application, composed."""

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from andon.build import build as build_of_andon
from andon.llm_endpoints import with_remembered
from andon.settings import Settings, load_settings
from andon.wiring.storage import bundle_store
from andon.wiring.tracing import telemetry_of_replica
from serving.errors import DeployError
from serving.ray.settings import AppSettings

if TYPE_CHECKING:
    from serving.ray.app import Application

CONFIGURED = "settings"
"""``classifier.kind`` that defers to Andon's settings."""


def build(args: AppSettings) -> "Application":
    """Ray Serve's builder; ``args`` is the application's ``args`` of the YAML."""
    from serving.ray.app import build_application

    settings = load_settings()
    refuse_without_token(settings, os.environ)
    paths = settings.paths
    return build_application(
        with_configured_classifier(args, settings),
        args.ingress or settings.serve.ingress,
        partial(bundle_store, args.artifacts or paths.artifacts),
        partial(bundle_store, args.exemplars or paths.exemplars),
        telemetry_of_replica,
        build_of_andon,
    )


def refuse_without_token(settings: Settings, environment: Mapping[str, str]) -> None:
    """Serve's replicas listen on every interface and unpickle what they are sent.

    Raises:
        DeployError: Ray asks nobody for a token here, and the settings do not say that it may.
    """
    if environment.get("RAY_AUTH_MODE") != "token" and not settings.serve.without_token:
        raise DeployError(
            "this Ray asks nobody for a token, and a replica would run what anyone sends to its "
            "port: start Ray with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH, or set "
            "ANDON_SERVE__WITHOUT_TOKEN=true where Ray runs"
        )


def with_configured_classifier(args: AppSettings, settings: Settings) -> AppSettings:
    """``classifier.kind: settings`` becomes what ``ANDON_CLASSIFIER__*`` says where Ray runs.

    Raises:
        ValueError: an endpoint's key is in the settings themselves (``serve_options``).
    """
    if args.classifier is None or args.classifier.kind != CONFIGURED:
        return args
    from serving.naming.build import serve_options

    chosen = with_remembered(settings.classifier, settings.paths.state)
    options = serve_options(chosen)
    classifier = args.classifier.model_copy(update={"kind": chosen.kind, "options": options})
    return args.model_copy(update={"classifier": classifier})
