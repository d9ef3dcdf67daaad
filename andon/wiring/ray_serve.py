"""The expert and the classifier behind Ray Serve."""

from typing import TYPE_CHECKING

from andon.settings import Settings

if TYPE_CHECKING:
    from serving.ray.client import ServeClassifier, ServeVisionExpert
    from serving.ray.replicas import ServeReplicas


def vision_expert(settings: Settings) -> "ServeVisionExpert":
    """The vision expert behind Ray Serve; it connects when it is started."""
    from serving.ray.client import ServeVisionExpert

    return ServeVisionExpert(settings.serve.ingress, settings.serve.token_file)


def classifier(settings: Settings) -> "ServeClassifier":
    """The classifier behind Ray Serve; it connects when it is started."""
    from serving.ray.client import ServeClassifier

    return ServeClassifier(settings.serve.ingress, settings.serve.token_file)


def replicas(settings: Settings) -> "ServeReplicas":
    """What the replicas behind Serve's ingress hold."""
    from serving.ray.replicas import ServeReplicas

    return ServeReplicas(settings.serve.ingress, settings.serve.token_file)
