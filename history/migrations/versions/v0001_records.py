"""One insert-only table per topic, the policies' versions and audit, and the view over them."""

from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None

_OF_PART = """
    frame_id uuid NOT NULL,
    line text NOT NULL,
    station text NOT NULL,
    product_id text NOT NULL,
    part_id text NOT NULL,
    lot_id text NOT NULL,
    plc_boot_id bigint NOT NULL,
    trigger_seq bigint NOT NULL,
    captured_at timestamptz NOT NULL,
    is_simulated boolean NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    event jsonb NOT NULL
"""

_TABLES = (
    f"""CREATE TABLE anomaly ({_OF_PART},
    reason text NOT NULL,
    classify boolean NOT NULL,
    anomalous boolean NOT NULL,
    score double precision NOT NULL,
    threshold double precision NOT NULL,
    p_value double precision NOT NULL,
    expert_version text NOT NULL,
    image_key text NOT NULL,
    mask_key text,
    sha256 text NOT NULL,
    content_type text NOT NULL,
    CONSTRAINT anomaly_pkey PRIMARY KEY (frame_id, reason))""",
    f"""CREATE TABLE decision ({_OF_PART},
    result_id uuid NOT NULL,
    source text NOT NULL,
    evaluation text NOT NULL,
    class_name text NOT NULL,
    severity text NOT NULL,
    action text NOT NULL,
    reason_code integer NOT NULL,
    reason text NOT NULL,
    rule text NOT NULL,
    is_late boolean NOT NULL,
    policy_hash text NOT NULL,
    score double precision,
    p_value double precision,
    expert_version text NOT NULL,
    classifier text NOT NULL,
    confidence double precision,
    decided_at timestamptz NOT NULL,
    CONSTRAINT decision_pkey PRIMARY KEY (result_id))""",
    f"""CREATE TABLE acknowledgement ({_OF_PART},
    result_id uuid NOT NULL,
    outcome text NOT NULL,
    source text NOT NULL,
    action text NOT NULL,
    result_seq bigint NOT NULL,
    decided_at timestamptz,
    written_at timestamptz,
    acknowledged_at timestamptz,
    trigger_to_write_ms double precision,
    CONSTRAINT acknowledgement_pkey PRIMARY KEY (result_id, outcome))""",
    """CREATE TABLE review (
    review_id uuid CONSTRAINT review_pkey PRIMARY KEY,
    frame_id uuid NOT NULL,
    reviewer text NOT NULL,
    class_name text NOT NULL,
    severity text NOT NULL,
    action text,
    comment text NOT NULL,
    reviewed_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    event jsonb NOT NULL)""",
    """CREATE TABLE dead_letter (
    letter_id uuid CONSTRAINT dead_letter_pkey PRIMARY KEY,
    frame_id uuid,
    stage text NOT NULL,
    error_type text NOT NULL,
    error text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    object_key text NOT NULL,
    failed_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    event jsonb NOT NULL)""",
    """CREATE TABLE alert (
    alert_id uuid CONSTRAINT alert_pkey PRIMARY KEY,
    line text NOT NULL,
    product_id text NOT NULL,
    limit_name text NOT NULL,
    reason text NOT NULL,
    request_stop boolean NOT NULL,
    raised_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    event jsonb NOT NULL)""",
    """CREATE TABLE policy_version (
    policy_hash text CONSTRAINT policy_version_pkey PRIMARY KEY,
    product_id text NOT NULL,
    body json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now())""",
    """CREATE TABLE policy_audit (
    id bigserial CONSTRAINT policy_audit_pkey PRIMARY KEY,
    product_id text NOT NULL,
    from_hash text,
    to_hash text NOT NULL
        CONSTRAINT policy_audit_to_hash_fkey REFERENCES policy_version (policy_hash),
    applied_by text NOT NULL,
    reason text NOT NULL,
    softening boolean NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now())""",
)

_INDEXES = {
    "anomaly": ("captured_at, frame_id",),
    "decision": (
        "captured_at, frame_id",
        "frame_id",
        "part_id",
        "lot_id, captured_at",
        "class_name, captured_at",
    ),
    "acknowledgement": ("frame_id", "captured_at, frame_id"),
    "review": ("frame_id, reviewed_at",),
    "dead_letter": ("failed_at", "frame_id"),
    "alert": ("line, product_id, raised_at",),
    "policy_version": ("product_id",),
    "policy_audit": ("product_id, applied_at",),
}

_PARTIAL = {
    "decision_not_passed_idx": "action <> 'pass'",
    "decision_not_answered_idx": "source IN ('fallback', 'watchdog')",
}

_DECIDED = (
    "result_id frame_id line station product_id part_id lot_id plc_boot_id trigger_seq captured_at "
    "is_simulated source evaluation class_name severity action reason_code reason rule is_late "
    "policy_hash score p_value expert_version classifier confidence decided_at recorded_at event"
)
_ANSWERED = "outcome result_seq written_at acknowledged_at trigger_to_write_ms"


def _decision(alias: str) -> str:
    names = [f"{alias}.{name}" for name in _DECIDED.split()]
    return ", ".join(names + [f"a.{name}" for name in _ANSWERED.split()])


def _rank(alias: str) -> str:
    return (
        "(outcome_rank(a.outcome, a.written_at) * 100 "
        f"+ CASE WHEN {alias}.is_late THEN 50 ELSE 0 END + source_rank({alias}.source))"
    )


_AROUND = """
    (SELECT max(a.image_key) FROM anomaly a WHERE a.frame_id = d.frame_id) AS image_key,
    (SELECT max(a.mask_key) FROM anomaly a WHERE a.frame_id = d.frame_id) AS mask_key,
    (SELECT to_jsonb(r) - 'event' FROM review r WHERE r.frame_id = d.frame_id
        ORDER BY r.reviewed_at DESC, r.review_id DESC LIMIT 1) AS review,
    (SELECT jsonb_agg(jsonb_build_object('source', o.source, 'action', o.action,
        'class_name', o.class_name, 'is_late', o.is_late, 'decided_at', o.decided_at,
        'outcome', o.outcome) ORDER BY o.rank, o.decided_at, o.result_id)
        FROM decision_outcome o
        WHERE o.frame_id = d.frame_id AND o.result_id <> d.result_id) AS other_decisions"""

_VIEWS = (
    # What the PLC took comes first, then what was written to it, then what nobody answered for.
    """CREATE FUNCTION outcome_rank(outcome text, written_at timestamptz) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN CASE
        WHEN outcome = 'acknowledged' THEN 0
        WHEN outcome = 'unacknowledged' AND written_at IS NOT NULL THEN 1
        WHEN outcome IS NULL OR outcome = 'unacknowledged' THEN 2
        ELSE 3 END""",
    """CREATE FUNCTION source_rank(source text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN CASE source
        WHEN 'expert' THEN 0 WHEN 'classifier' THEN 1 WHEN 'fallback' THEN 2
        WHEN 'watchdog' THEN 3 ELSE 4 END""",
    f"""CREATE VIEW decision_outcome AS SELECT {_decision("d")}, {_rank("d")} AS rank
    FROM decision d LEFT JOIN LATERAL (
        SELECT k.outcome, k.result_seq, k.written_at, k.acknowledged_at, k.trigger_to_write_ms
        FROM acknowledgement k WHERE k.result_id = d.result_id
        ORDER BY outcome_rank(k.outcome, k.written_at), k.outcome LIMIT 1) a ON true""",  # noqa: S608 - fixed names
    # For pages: each row asks whether it is the effective one. Quick for a few rows.
    f"""CREATE VIEW frame_history AS SELECT d.*, {_AROUND}
    FROM decision_outcome d
    WHERE d.result_id = (SELECT o.result_id FROM decision_outcome o
        WHERE o.frame_id = d.frame_id ORDER BY o.rank, o.decided_at, o.result_id LIMIT 1)""",  # noqa: S608 - fixed names
    # For scans: the same rows, found by one ordered pass. Quick for many rows.
    f"""CREATE VIEW frame_scan AS SELECT d.*, {_AROUND}
    FROM (SELECT DISTINCT ON (e.captured_at, e.frame_id) {_decision("e")},
            {_rank("e")} AS rank
        FROM decision e LEFT JOIN acknowledgement a ON a.result_id = e.result_id
        ORDER BY e.captured_at, e.frame_id, {_rank("e")}, e.decided_at,
            e.result_id, a.outcome) d""",  # noqa: S608 - fixed names
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
    for table, indexes in _INDEXES.items():
        for columns in indexes:
            name = f"{table}_{columns.replace(', ', '_')}_idx"
            op.execute(f"CREATE INDEX {name} ON {table} ({columns})")
    for name, which in _PARTIAL.items():
        op.execute(f"CREATE INDEX {name} ON decision (captured_at, frame_id) WHERE {which}")
    for statement in _VIEWS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP VIEW frame_history, frame_scan, decision_outcome")
    op.execute("DROP FUNCTION outcome_rank, source_rank")
    op.execute("DROP TABLE policy_audit, policy_version")
    op.execute("DROP TABLE anomaly, decision, acknowledgement, review, dead_letter, alert")
