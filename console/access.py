"""Who may call which route: one table, asked before every answer. What it does not name is refused.

``tests/console/test_access.py`` walks every route with every role.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import Final


class ConsoleRole(StrEnum):
    """What a person may do at the console."""

    VIEWER = "viewer"
    """Looks at the line, as a screen on the wall does."""
    OPERATOR = "operator"
    """Works at the line."""
    QUALITY = "quality"
    """Judges what the line decided."""
    ENGINEER = "engineer"
    """Looks after policies, models and the line's programs."""
    ADMIN = "admin"
    """Lets people in."""


Route = tuple[str, str]
"""Method and path, as the application declares it."""
PUBLIC: Final[frozenset[ConsoleRole]] = frozenset()
"""Nobody is asked who they are."""
EVERYBODY: Final = frozenset(ConsoleRole)
STAFF: Final = EVERYBODY - {ConsoleRole.VIEWER}
PROCESS: Final = frozenset({ConsoleRole.QUALITY, ConsoleRole.ENGINEER, ConsoleRole.ADMIN})
ENGINEERS: Final = frozenset({ConsoleRole.ENGINEER, ConsoleRole.ADMIN})
JUDGES: Final = frozenset({ConsoleRole.QUALITY, ConsoleRole.ADMIN})
ADMINS: Final = frozenset({ConsoleRole.ADMIN})


def _routes(
    roles: frozenset[ConsoleRole], routes: str
) -> Iterable[tuple[Route, frozenset[ConsoleRole]]]:
    for line in routes.split("\n"):
        if words := line.split():
            yield (words[0], words[1]), roles


ACCESS: Final[Mapping[Route, frozenset[ConsoleRole]]] = dict(
    [
        *_routes(
            PUBLIC,
            """
            GET  /static/{name}
            GET  /login
            POST /login
            GET  /oidc/start
            GET  /oidc/back
            GET  /oidc/out
            GET  /terminal
            POST /terminal
            POST /terminal/login
            POST /preferences
            """,
        ),
        *_routes(
            EVERYBODY,
            """
            GET  /
            GET  /password
            POST /password
            POST /pin
            POST /logout
            GET  /live
            GET  /live/events
            GET  /live/parts/{identity}
            GET  /line
            GET  /line/{line:path}
            GET  /line-events
            GET  /find
            GET  /parts/{frame_id}
            GET  /pictures/{frame_id}/{size}
            """,
        ),
        *_routes(
            STAFF,
            """
            POST /live/alerts/{alert_id}
            GET  /handover
            POST /handover
            GET  /history
            GET  /pareto
            GET  /rates
            GET  /export/{form}
            GET  /policies
            GET  /policies/{product}
            GET  /api/policies
            GET  /api/policies/{product}
            GET  /api/policies/{product}/text
            GET  /api/policies/{product}/log
            GET  /models
            GET  /models/{key}/change
            GET  /models/{key}/{version}
            GET  /models/{key}/{version}/normals/{row}
            GET  /api/models
            GET  /api/models/{key}/change
            GET  /api/models/{key}/exemplars
            GET  /api/models/{key}/request
            GET  /api/models/{key}/{version}
            GET  /docs
            GET  /api/openapi.json
            GET  /api/health
            GET  /api/frames
            GET  /api/frames/{frame_id}
            GET  /api/frames/{frame_id}/image
            GET  /api/frames/{frame_id}/mask
            GET  /api/frames/{frame_id}/region
            GET  /api/stats
            GET  /api/pareto
            GET  /api/rates
            GET  /api/rates.csv
            GET  /api/gaps
            GET  /health
            GET  /api/doctor
            GET  /api/lines
            GET  /api/lines/{line:path}
            """,
        ),
        *_routes(
            PROCESS,
            """
            POST /api/policies/check
            POST /api/policies/complete
            POST /policies/{product}/difference
            POST /policies/{product}/parts
            POST /policies/{product}/backtests
            GET  /policies/{product}/backtests/{test_id}
            POST /policies/{product}/backtests/{test_id}
            POST /policies/{product}/requests/{number}
            POST /api/policies/{product}/difference
            POST /api/policies/{product}/parts
            POST /api/policies/{product}/backtests
            GET  /api/policies/{product}/backtests/{test_id}
            POST /api/policies/{product}/backtests/{test_id}/cancel
            POST /api/policies/{product}/requests/{number}
            POST /models/{key}/requests/{number}
            POST /api/models/{key}/requests/{number}
            """,
        ),
        *_routes(
            ENGINEERS,
            """
            POST /policies/{product}
            POST /api/policies/{product}/changes
            """,
        ),
        *_routes(
            JUDGES,
            """
            GET    /review
            POST   /review/next
            POST   /review/verdict
            POST   /review/undo
            GET    /review/figures
            GET    /api/review/waiting
            GET    /api/review/rates
            GET    /api/review/lessons
            POST   /api/review/next
            POST   /api/review/parts/{frame_id}
            POST   /api/reviews
            DELETE /api/reviews/{review_id}
            """,
        ),
        *_routes(
            JUDGES,
            """
            GET  /audit
            """,
        ),
        *_routes(
            ENGINEERS,
            """
            POST /models/{key}
            POST /api/models/{key}
            GET  /products/new
            POST /products/new
            GET  /products/new/{key}
            POST /products/new/{key}
            GET  /products/new/{key}/work
            GET  /products/new/{key}/pictures/{kind}/{name}
            GET  /api/products/drafts
            POST /api/products/drafts
            GET  /api/products/drafts/{key}
            DELETE /api/products/drafts/{key}
            POST /api/products/drafts/{key}/normals
            PUT  /api/products/drafts/{key}/normals/{name}
            POST /api/products/drafts/{key}/defects
            PUT  /api/products/drafts/{key}/defects/{name}
            DELETE /api/products/drafts/{key}/defects/{name}
            PUT  /api/products/drafts/{key}/classes
            GET  /api/products/drafts/{key}/policy
            PUT  /api/products/drafts/{key}/policy
            POST /api/products/drafts/{key}/steps/{step}
            GET  /api/products/drafts/{key}/work
            DELETE /api/products/drafts/{key}/work
            """,
        ),
        *_routes(
            ADMINS,
            """
            GET  /people
            POST /people
            POST /people/{name:path}
            POST /tokens/{secret_hash}
            """,
        ),
    ]
)


WALL: Final[frozenset[Route]] = frozenset(
    {
        ("GET", "/"),
        ("GET", "/live"),
        ("GET", "/live/events"),
        ("GET", "/live/parts/{identity}"),
        ("GET", "/pictures/{frame_id}/{size}"),
    }
)
"""All that a screen on the wall may call, whatever else its role may."""


def may_call(role: ConsoleRole, method: str, path: str) -> bool:
    """Whether a role may call a route.

    >>> may_call(ConsoleRole.VIEWER, "GET", "/api/frames")
    False
    """
    roles = ACCESS.get((method, path))
    return roles is not None and (roles is PUBLIC or role in roles)


@cache
def common_role(one: ConsoleRole, other: ConsoleRole) -> ConsoleRole:
    """The role that may most of what two roles may both.

    >>> common_role(ConsoleRole.ENGINEER, ConsoleRole.QUALITY).value
    'operator'
    >>> common_role(ConsoleRole.ADMIN, ConsoleRole.VIEWER).value
    'viewer'
    """
    may = {
        role: {route for route, roles in ACCESS.items() if role in roles} for role in ConsoleRole
    }
    both = may[one] & may[other]
    return max((role for role in ConsoleRole if may[role] <= both), key=lambda role: len(may[role]))
