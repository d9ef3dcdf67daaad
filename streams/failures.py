"""One notion of failure: what another attempt may mend, and what it never will.

Each backend has one function that names the ``Cause`` of its client's errors, beside its adapter
(``streams.kafka.failures``, ``history.failures``). An adapter raises ``failed(cause, ...)``; what
calls it knows by the type whether to wait and repeat, or to set that one message aside.
"""

from dataclasses import dataclass
from enum import StrEnum

from streams.codes import ReasonCode
from streams.errors import AndonError, UnavailableError
from streams.masking import masked


class Cause(StrEnum):
    """Why a backend did not do what it was asked."""

    AWAY = "away"
    """Nobody answered, or too late."""
    BUSY = "busy"
    """It answers, and would do the same another time: a deadlock, a new leader, a throttle."""
    FULL = "full"
    """It has no room: a full disk, a quota."""
    LOGIN = "login"
    """It does not believe who we are: a wrong password, an unknown key, an expired certificate.
    Nothing of the message matters, so everything waits until a person mends it."""
    NOT_PREPARED = "not prepared"
    """What it needs is not made yet: the tables, the topic, the bucket."""

    TOO_LARGE = "too large"
    """It takes no message of this size."""
    NOT_ALLOWED = "not allowed"
    """It knows who we are, and we may not do this to that topic, object or table."""
    INVALID = "invalid"
    """It does not take this message: its name, its values or its form."""

    @property
    def is_permanent(self) -> bool:
        """Whether the same message would be refused again, however often it is sent.

        >>> [cause.name for cause in Cause if cause.is_permanent]
        ['TOO_LARGE', 'NOT_ALLOWED', 'INVALID']
        """
        return self in (Cause.TOO_LARGE, Cause.NOT_ALLOWED, Cause.INVALID)


class TransientError(UnavailableError):
    """Another attempt may succeed: repeat it with a back-off, within a bound of memory."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class PermanentError(AndonError):
    """The backend is there and refuses this one message: set it aside, and go on."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def failed(cause: Cause, message: str) -> TransientError | PermanentError:
    """The error of the kind that the cause is of.

    >>> failed(Cause.TOO_LARGE, "9 MiB where 1 MiB is taken")
    PermanentError('9 MiB where 1 MiB is taken')
    >>> isinstance(failed(Cause.FULL, "no space left"), UnavailableError)
    True
    """
    return PermanentError(cause, message) if cause.is_permanent else TransientError(cause, message)


def cause_of(error: BaseException) -> Cause:
    """The cause that an adapter named; ``AWAY`` where it only said that nobody answered.

    >>> cause_of(failed(Cause.LOGIN, "wrong password")), cause_of(UnavailableError("gone"))
    (<Cause.LOGIN: 'login'>, <Cause.AWAY: 'away'>)
    """
    return error.cause if isinstance(error, TransientError | PermanentError) else Cause.AWAY


@dataclass(frozen=True)
class AskedInVain:
    """Calls of a language model that brought no answer, and that its provider may bill."""

    calls: int = 0
    tokens: int = 0
    """An estimate, but for calls of which the endpoint said what they took."""
    cost: float = 0.0


@dataclass(frozen=True)
class Failure:
    """Why one item could not be answered. ``retryable`` is False for bad input."""

    reason_code: ReasonCode
    error_type: str
    message: str
    """Where what failed was told a secret and says it again, it is masked."""
    retryable: bool = False
    unanswered: AskedInVain = AskedInVain()
    """What was asked of language models in vain."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", masked(self.message))


def named(error: Exception) -> str:
    """What a dead letter calls the error: its cause where an adapter named one.

    >>> named(PermanentError(Cause.TOO_LARGE, "9 MiB")), named(ValueError("?"))
    ('TOO_LARGE', 'ValueError')
    """
    typed = isinstance(error, PermanentError | TransientError)
    return cause_of(error).name if typed else type(error).__name__
