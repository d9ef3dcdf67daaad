"""Whose certificate is trusted: the trust list, the time, revocations, what it is for."""

import re
from collections.abc import Sequence

import pytest
from cryptography import x509

from connectors.pki.trust import Expected, TrustList, Why, refusal
from tests.connectors.authorities import (
    CONTROLLER,
    DAY,
    FUTURE,
    NOW,
    PAST,
    authority,
    own,
    revocation_list,
    signed,
)

LEAF, OTHER = own().certificate, signed("client").certificate
ROOT, SIGNED = authority().certificate, signed().certificate
SERVER = Expected("server", CONTROLLER, "127.0.0.1")


def trusting(*trusted: x509.Certificate, **more: Sequence[object]) -> TrustList:
    return TrustList(trusted, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chain", "trust"),
    [
        ([LEAF], trusting(LEAF)),
        ([SIGNED], trusting(SIGNED)),
        ([SIGNED], trusting(ROOT)),
        ([SIGNED, ROOT], trusting(ROOT)),
        ([SIGNED], trusting(SIGNED, issuers=[authority(PAST).certificate])),
        ([SIGNED], trusting(ROOT, revocations=[revocation_list(authority(), OTHER)])),
        # a list that somebody else signed in the authority's name revokes nothing
        ([SIGNED], trusting(ROOT, revocations=[revocation_list(authority(PAST), SIGNED)])),
    ],
)
def test_trusted(chain: list[x509.Certificate], trust: TrustList) -> None:
    assert refusal(chain, trust, SERVER, NOW) is None


@pytest.mark.parametrize(
    ("chain", "trust", "why", "words"),
    [
        ([LEAF], trusting(), Why.UNTRUSTED, "is not trusted"),
        ([LEAF], trusting(ROOT, OTHER), Why.UNTRUSTED, "is not trusted"),
        # an issuer completes a chain and makes nothing trusted, told or in its folder
        ([SIGNED, ROOT], trusting(LEAF, issuers=[ROOT]), Why.UNTRUSTED, "is not trusted"),
        # an application that signed itself is no authority for others
        ([SIGNED], trusting(LEAF), Why.UNTRUSTED, "is not trusted"),
        (
            [own("server", PAST).certificate],
            trusting(own("server", PAST).certificate),
            Why.TIME,
            f"expired on {PAST[1]:%Y-%m-%d}",
        ),
        (
            [own("server", FUTURE).certificate],
            trusting(own("server", FUTURE).certificate),
            Why.TIME,
            f"is valid from {FUTURE[0]:%Y-%m-%d}",
        ),
        (
            [SIGNED],
            trusting(ROOT, revocations=[revocation_list(authority(), SIGNED)]),
            Why.REVOKED,
            "was revoked on",
        ),
        (
            [SIGNED],
            trusting(SIGNED, issuers=[ROOT], revocations=[revocation_list(authority(), SIGNED)]),
            Why.REVOKED,
            "was revoked on",
        ),
        # the list of an issuer that is not known here
        (
            [SIGNED],
            trusting(SIGNED, revocations=[revocation_list(authority(), SIGNED)]),
            Why.REVOKED,
            "was revoked on",
        ),
        (
            [SIGNED],
            trusting(ROOT, revocations=[revocation_list(authority(), ROOT)]),
            Why.ISSUER_REVOKED,
            "has an issuer .* that was revoked on",
        ),
        ([own("client").certificate], trusting(own("client").certificate), Why.USE, "not for a"),
    ],
)
def test_refused(chain: list[x509.Certificate], trust: TrustList, why: Why, words: str) -> None:
    found = refusal(chain, trust, SERVER, NOW)
    assert found is not None
    assert found.why is why
    assert re.search(words, found.words)


@pytest.mark.parametrize(
    ("expected", "why", "words"),
    [
        (Expected("server", "urn:other", "127.0.0.1"), Why.URI, "urn:test:controller, not"),
        (Expected("server", "", "127.0.0.1"), Why.URI, "urn:test:controller, not"),
        (Expected("server", CONTROLLER, "10.0.0.9"), Why.HOST, "localhost, 127.0.0.1, not"),
        (Expected("server", CONTROLLER, "plc-9"), Why.HOST, "not 'plc-9'"),
    ],
)
def test_of_another_application_or_host(expected: Expected, why: Why, words: str) -> None:
    found = refusal([LEAF], trusting(LEAF), expected, NOW)
    assert found is not None
    assert found.why is why
    assert words in found.words


def test_hosts_are_names_without_case_or_brackets_and_may_be_passed_over() -> None:
    for host in ("LocalHost", "127.0.0.1", None):
        assert refusal([LEAF], trusting(LEAF), Expected("server", CONTROLLER, host), NOW) is None


def test_an_authority_ends_what_it_signed_when_it_ends_itself() -> None:
    found = refusal([SIGNED], trusting(ROOT), SERVER, ROOT.not_valid_after_utc + DAY)
    assert found is not None
    assert found.why in (Why.TIME, Why.ISSUER_TIME)
