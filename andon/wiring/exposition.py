"""What every process tells Prometheus: which build it runs, and when its certificates end."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from andon.build import build
from andon.settings import Settings
from streams.errors import AndonError
from streams.exposition import BUILD, CERTIFICATE, MetricRow, Read

Labels = tuple[str, ...]


def of_all(
    settings: Settings, shown: Callable[[], Mapping[str, datetime]] = dict
) -> Mapping[MetricRow, Read]:
    """Read at each scrape.

    Args:
        settings: name the files of certificates.
        shown: when the certificates end that a standing connection began with.
    """
    return {
        BUILD: lambda: {(build(),): 1.0},
        CERTIFICATE: lambda: (
            _of_files(settings) | {(name,): end.timestamp() for name, end in shown().items()}
        ),
    }


def _of_files(settings: Settings) -> dict[Labels, float]:
    """What has ended and is not needed, such as a renewed one that is still trusted, is left out.
    Files that cannot be read are told by whoever uses them: a scrape is answered all the same."""
    from andon.checks.certificates import of_files  # a worker that nobody scrapes reads none

    now = datetime.now(UTC)
    try:
        found = [one for one in of_files(settings) if one.needed or one.at > now]
    except (AndonError, OSError):
        return {}
    return {(one.where,): one.at.timestamp() for one in found}
