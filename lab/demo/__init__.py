"""``andon demo``: what is played, what became of it, and the report."""
