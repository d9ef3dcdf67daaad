"""Times and limits of the handshake, as a plant sets them."""

from typing import Annotated, Final

from pydantic import Field, field_validator

from connectors.handshake.recipes import Recipe
from streams.counters import MISSED_LIMIT
from streams.settings import Section

LONGEST_MS: Final = 3_600_000
"""No time of the handshake is longer than an hour, milliseconds."""
Milliseconds = Annotated[int, Field(gt=0, le=LONGEST_MS)]


class HandshakeConfig(Section):
    """What the state machine is told once, before the first input."""

    result_window_ms: Milliseconds | None = None
    """Result window T, milliseconds from the trigger; unset: the controller's ``TaktMs``."""
    watchdog_margin_ms: Annotated[int, Field(ge=0, le=60_000)] = 50
    """The gateway writes the no-decision action this long before T, milliseconds."""
    ack_timeout_ms: Milliseconds = 5000
    """A result written and not acknowledged for this long counts as unacknowledged."""
    heartbeat_ms: Milliseconds = 500
    """Period of both heartbeats, milliseconds."""
    heartbeat_missed: Annotated[int, Field(ge=1, le=100)] = 3
    """Missed heartbeats after which the other side counts as dead."""
    pipelining: bool = True
    """Ready again once the exposure is done, before the result is out."""
    use_trigger_enable: bool = False
    """Ready only while the controller's ``TriggerEnable`` is set; off: it is not acted on."""
    unacknowledged_limit: Annotated[int, Field(ge=1, le=64)] = 8
    """Results waiting for the controller's acknowledgement; one more is an overrun."""
    open_limit: Annotated[int, Field(ge=1, le=4096)] = 128
    """Parts without a closed result; at the limit the gateway drops Ready."""
    missed_limit: Annotated[int, Field(ge=1, le=65_536)] = MISSED_LIMIT
    """Missed triggers for which a hold is still written; older ones are only counted."""
    recipes: dict[Annotated[int, Field(ge=1, le=0xFFFF)], Recipe] = Field({})
    """Recipe number -> recipe, or the name of its product alone. With any, parts are captured only
    under a recipe that every stage has; empty: requests are acknowledged and select nothing."""
    recipe_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """A change-over that is not over after so many seconds is refused, seconds."""

    @field_validator("recipes")
    @classmethod
    def _recipes_told_apart(cls, recipes: dict[int, Recipe]) -> dict[int, Recipe]:
        names = [recipe.called for recipe in recipes.values()]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two recipes are called {name!r}; give each a name of its own")
        return recipes

    def recipe_number(self, number: int, name: str = "") -> int | None:
        """The number of the recipe that is asked for by number, or by name where that is 0.

        >>> config = HandshakeConfig(recipes={7: Recipe(product="tile", name="Tile 30x30")})
        >>> config.recipe_number(7), config.recipe_number(0, "Tile 30x30"), config.recipe_number(8)
        (7, 7, None)
        """
        if number:
            return number if number in self.recipes else None
        found = (n for n, recipe in self.recipes.items() if name and recipe.called == name)
        return next(found, None)

    def window_fault(self, takt_ms: int) -> str:
        """Why no result window follows from this ``TaktMs``, in words; empty where one does.

        >>> HandshakeConfig().window_fault(takt_ms=0)
        'TaktMs is 0: there is no result window'
        >>> HandshakeConfig(result_window_ms=2000).window_fault(takt_ms=0)
        ''
        """
        if self.result_window_ms:
            return ""
        if takt_ms == 0:
            return "TaktMs is 0: there is no result window"
        if takt_ms > LONGEST_MS:
            return f"TaktMs is {takt_ms}: over an hour is no result window"
        if takt_ms <= self.watchdog_margin_ms:
            return f"TaktMs is {takt_ms}: no more than watchdog_margin_ms"
        return ""

    def window_s(self, takt_ms: int) -> float:
        """The result window T of a part, seconds.

        >>> HandshakeConfig().window_s(takt_ms=800)
        0.8
        >>> HandshakeConfig(result_window_ms=2000).window_s(takt_ms=800)
        2.0
        """
        return (self.result_window_ms or takt_ms) / 1000

    @property
    def watchdog_margin_s(self) -> float:
        return self.watchdog_margin_ms / 1000

    @property
    def ack_timeout_s(self) -> float:
        return self.ack_timeout_ms / 1000

    @property
    def heartbeat_s(self) -> float:
        return self.heartbeat_ms / 1000

    @property
    def dead_after_s(self) -> float:
        """A heartbeat that stood still for this long means that the other side is dead."""
        return self.heartbeat_s * self.heartbeat_missed
