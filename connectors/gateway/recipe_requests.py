"""The controller's request for a recipe, read until it can be read or is given up. Pure."""

from typing import Final

from connectors.handshake import recipe_of
from connectors.handshake.signals import Signal, SignalValues, number
from connectors.handshake.values import RecipeRequested

_REQUEST: Final = (Signal.RECIPE_REQ_SEQ, Signal.RECIPE_REQ)
GIVEN_UP_S: Final = 1.0
"""A RecipeReq without good quality is read again for so long, seconds; then it is refused."""


class RecipeRequests:
    """Remembers that a request stands until it is answered one way or the other."""

    def __init__(self) -> None:
        self._stands = self._is_read = False
        self._unread_since: float | None = None

    @property
    def stands(self) -> bool:
        """Whether a request is still to be read."""
        return self._stands

    def connected(self, values: SignalValues) -> None:
        """A connection told what stands at the controller.

        Where the request could be read the handshake has heard of it with the connection.
        """
        self._stands, self._unread_since = not values.keys() >= set(_REQUEST), None

    def moved(self) -> None:
        """``RecipeReqSeq`` has another value."""
        self._stands, self._unread_since = True, None

    def begin(self) -> tuple[Signal, ...]:
        """What is to be read with the trigger's group now; one that comes meanwhile stands."""
        self._is_read, self._stands = self._stands, False
        return _REQUEST if self._is_read else ()

    def read(self, values: SignalValues, now: float) -> RecipeRequested | None:
        """The request, if it can be told by now; ``stands`` says whether it is to be read again.

        A request whose number has no good quality cannot be answered: the subscription tells it
        once the number is good again.
        """
        if not self._is_read:
            return None
        if values.keys() >= set(_REQUEST):
            return recipe_of(values)
        since = self._unread_since = self._unread_since or now
        if now - since < GIVEN_UP_S:
            self._stands = True
            return None
        if Signal.RECIPE_REQ_SEQ not in values:
            return None
        return RecipeRequested(number(values, Signal.RECIPE_REQ_SEQ), 0, is_readable=False)
