"""Every cause is permanent or not, and travels with its error."""

import pytest

from streams.errors import AndonError, UnavailableError
from streams.failures import Cause, PermanentError, TransientError, cause_of, failed


@pytest.mark.parametrize("cause", list(Cause))
def test_an_error_is_of_the_kind_of_its_cause(cause: Cause) -> None:
    error = failed(cause, "what happened")
    assert isinstance(error, PermanentError if cause.is_permanent else TransientError)
    assert isinstance(error, UnavailableError) is not cause.is_permanent
    assert isinstance(error, AndonError)
    assert (cause_of(error), str(error)) == (cause, "what happened")


def test_what_nobody_named_counts_as_an_outage() -> None:
    assert cause_of(RuntimeError("?")) is Cause.AWAY
