"""``andon policy``: validate, explain, compare, back-test, apply, roll back, log."""

from andon.cli.policy.commands import app as app
