"""How far a controller's trigger counter may step: gateway, console and history go by it."""

from typing import Final

MISSED_LIMIT: Final = 1024
"""Most numbers of ``TriggerSeq`` that are skipped at once, unless ``gateway.missed_limit`` says
otherwise. A larger step is that of a counter which wrapped where its node ends, or began anew."""
