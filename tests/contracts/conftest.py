"""Databases of their own, as the tests of the history have them."""

from tests.history.conftest import template, url

__all__ = ["template", "url"]
