"""A prompt that changes policies and versions adds to the audit of what people do.

No table changes: rights are given again after each migration, and the role of prompts gets one more
(``history.rights``).
"""

revision = "v0022"
down_revision = "v0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Changes nothing by itself."""


def downgrade() -> None:
    """A right that nobody uses hurts nobody."""
