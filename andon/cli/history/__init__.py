"""``andon history``: what was decided about which part, and why."""

from andon.cli.history.commands import app as app
