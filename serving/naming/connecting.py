"""Says why an endpoint was not reached: the port, TLS, the host's name, a proxy, or time."""

import errno
import ssl
from collections.abc import Iterator
from socket import EAI_AGAIN, gaierror
from typing import Final

from serving.naming.addresses import Address
from serving.naming.calls import SHOWN_CHARS, CallProblem, Failed
from serving.naming.settings import EndpointSettings

_CUT: Final = ("RemoteProtocolError", "ReadError", "DecodingError")
"""The question had been sent: the endpoint may have answered it, and bill it."""


def connection_failure(
    error: BaseException, address: Address, settings: EndpointSettings
) -> Failed:
    """The failure of a call that brought no HTTP status.

    Args:
        error: what the client raised; its causes are looked through.
        address: where the call went.
        settings: of the endpoint, for its deadlines.
    """
    causes = list(_causes(error))
    for cause in causes:
        reason = _of_system(cause, address) or _of_http(cause, address, settings)
        if reason is not None:
            text, may_pass = reason
            shown = f"{settings.name}: {text}"[:SHOWN_CHARS]
            billed = _kind(cause) in _CUT
            return Failed(CallProblem.UNREACHABLE, shown, may_pass, True, billed=billed)
    if any(isinstance(cause, TimeoutError) or "Timeout" in _kind(cause) for cause in causes):
        text = f"{settings.name}: no answer in {settings.timeout_s:g} s"
        return Failed(CallProblem.LATE, text, True, True, billed=True)
    last = causes[0]
    text = f"{settings.name}: {address.base}: {_kind(last)}: {last}"[:SHOWN_CHARS]
    return Failed(CallProblem.UNREACHABLE, text, True, True)


def _of_system(cause: BaseException, address: Address) -> tuple[str, bool] | None:
    """What the operating system or TLS says, and whether it may pass by itself."""
    host, where = address.host, address.base
    match cause:
        case ssl.SSLCertVerificationError():
            words = f"TLS: the certificate of {host} is not trusted: {cause.verify_message}"
            return f"{words} (of the plant's own authority: name its file in SSL_CERT_FILE)", False
        case ssl.SSLError() if "WRONG_VERSION" in str(cause) or "RECORD_LAYER" in str(cause):
            return f"TLS: {where} does not speak TLS at this port; is it http://?", False
        case ssl.SSLError():
            return f"TLS: no agreement with {host}: {cause.reason or cause}", False
        case gaierror():
            words = f"the host name {host!r} is not known ({cause.strerror})"
            return words, cause.errno == EAI_AGAIN
        case ConnectionRefusedError():
            return f"nothing listens at {where} (connection refused)", True
        case OSError() if cause.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return f"no route to {where}", True
        case UnicodeEncodeError():
            return "a header cannot be sent: the key or a header is not ASCII", False
    return None


def _of_http(
    cause: BaseException, address: Address, settings: EndpointSettings
) -> tuple[str, bool] | None:
    """What the HTTP client says; by the names of its errors, which its versions share."""
    where = address.base
    match _kind(cause):
        case "ConnectTimeout":
            within = f"within {settings.connect_timeout_s:g} s"
            return f"no connection to {where} {within} (a wrong host, or a firewall)", True
        case "PoolTimeout":
            return f"no free connection to {where}", True
        case "ProxyError":
            return f"the proxy on the way to {where} refused: {cause}", False
        case "LocalProtocolError":
            return "a header cannot be sent: the key or a header holds a line break", False
        case "UnsupportedProtocol" | "InvalidURL":
            return f"{where} is no address", False
        case "RemoteProtocolError" | "ReadError" | "WriteError":
            hint = "" if where.startswith("https") else "; does it speak TLS (https://)?"
            return f"{where} cut the connection before its answer was whole{hint}", True
        case "DecodingError":
            return f"{where} sent a body that cannot be decompressed", True
    return None


def _kind(error: BaseException) -> str:
    return type(error).__name__


def _causes(error: BaseException, depth: int = 0) -> Iterator[BaseException]:
    """The innermost causes first; groups of attempts are opened."""
    if depth > 12:
        return
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _causes(one, depth + 1)
    below = error.__cause__ or error.__context__
    if below is not None:
        yield from _causes(below, depth + 1)
    yield error
