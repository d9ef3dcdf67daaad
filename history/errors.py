"""What can go wrong in the history, beyond ``streams.errors.UnavailableError``."""

from streams.errors import AndonError
from streams.failures import PermanentError


class HistoryError(AndonError):
    """Root of the history's own errors."""


class NotInHistoryError(HistoryError):
    """Nothing is recorded under that frame, policy hash or object."""


class BadQueryError(HistoryError):
    """A filter or a page cursor that cannot be read."""


class ChangingNowError(HistoryError):
    """Somebody else changes the same thing at this moment."""


class RefusedRowError(PermanentError, HistoryError):
    """PostgreSQL refused an event's values; the other events of its batch are recorded."""
