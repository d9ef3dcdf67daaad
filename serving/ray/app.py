"""The Ray Serve application: the ingress before the vision expert and the classifier actors."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from serving.bundle_store import BundleStore
from serving.ray.classifier_deployment import ClassifierDeployment
from serving.ray.ingress import IngressDeployment, count_classifiers
from serving.ray.routing import ROUTER
from serving.ray.settings import CLASSIFIER, INGRESS, VISION, AppSettings
from serving.ray.traced import OpenSpans, no_spans
from serving.ray.vision_deployment import VisionDeployment
from streams.tracing.spans import SpanSink

with warnings.catch_warnings():
    # Ray 2.60's schema module uses a pydantic call that pydantic deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ray import serve
    from ray.serve.config import RequestRouterConfig

HEALTH_PERIOD_S = 2.0
"""How soon a dead replica is noticed, seconds."""
HEALTH_TIMEOUT_S = 30.0
CALLS_PER_REPLICA = 64
"""``max_ongoing_requests``: calls (of many images each) that a replica takes at once. Serve's
default of 5 would cap the batches."""

Application: TypeAlias = serve.Application
OpenStore = Callable[[], BundleStore]


def build_application(
    settings: AppSettings,
    ingress: str,
    open_artifacts: OpenStore,
    open_exemplars: OpenStore,
    open_spans: Callable[[str], SpanSink | None] | None = None,
    build: Callable[[], str] = str,
) -> Application:
    """The application for ``settings``.

    Args:
        settings: ``args`` of the Serve configuration, validated.
        ingress: host:port on which workers' calls arrive.
        open_artifacts: a module-level function that opens the store of experts in the replica.
        open_exemplars: the same for exemplar bundles.
        open_spans: the same for what takes the spans of ``expert`` or ``classifier``.
        build: the same for which build of Andon the replica runs.
    """
    wanted = settings.vision
    spans: OpenSpans = no_spans if open_spans is None else partial(open_spans, "expert")
    calls = max(CALLS_PER_REPLICA, 2 * wanted.batch)
    vision = _deployment(VISION, VisionDeployment, calls)
    if wanted.by_product:
        router = RequestRouterConfig(request_router_class=ROUTER)
        vision = vision.options(request_router_config=router)
    behind = [vision.bind(wanted, open_artifacts, spans, build)]
    if settings.classifier is not None:
        calls = max(CALLS_PER_REPLICA, 2 * settings.classifier.concurrency)
        classifier = _deployment(CLASSIFIER, ClassifierDeployment, calls)
        spans = no_spans if open_spans is None else partial(open_spans, "classifier")
        bound = (settings.classifier, open_exemplars, spans, count_classifiers, build)
        behind.append(classifier.bind(*bound))
    # it waits and does not compute: no place in the plan of the CPUs
    way_in = _deployment(INGRESS, IngressDeployment, CALLS_PER_REPLICA, num_cpus=0)
    return way_in.bind(ingress, *behind, by_product=wanted.by_product)


def _deployment(name: str, kind: type, calls: int, num_cpus: float = 1) -> serve.Deployment:
    """Fixed replicas, a dead one noticed within seconds. ``deployments`` of the YAML overrides."""
    return serve.deployment(
        name=name,
        num_replicas=1,
        ray_actor_options={"num_cpus": num_cpus},
        max_ongoing_requests=calls,
        health_check_period_s=HEALTH_PERIOD_S,
        health_check_timeout_s=HEALTH_TIMEOUT_S,
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=10.0,
    )(kind)
