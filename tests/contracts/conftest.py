"""Databases of their own, as the tests of the history have them; one Ray, as serving has it."""

from tests.history.conftest import template, url
from tests.serving.ray.conftest import cluster, ray_head

__all__ = ["cluster", "ray_head", "template", "url"]
