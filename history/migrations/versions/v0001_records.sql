-- One insert-only table per topic, the policies' versions and audit, and the views over them.
-- Frozen: a later change of the schema is a migration of its own.

CREATE TABLE anomaly (
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
    event jsonb NOT NULL,
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
    CONSTRAINT anomaly_pkey PRIMARY KEY (frame_id, reason));

CREATE TABLE decision (
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
    event jsonb NOT NULL,
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
    CONSTRAINT decision_pkey PRIMARY KEY (result_id));

CREATE TABLE acknowledgement (
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
    event jsonb NOT NULL,
    result_id uuid NOT NULL,
    outcome text NOT NULL,
    source text NOT NULL,
    action text NOT NULL,
    result_seq bigint NOT NULL,
    decided_at timestamptz,
    written_at timestamptz,
    acknowledged_at timestamptz,
    trigger_to_write_ms double precision,
    CONSTRAINT acknowledgement_pkey PRIMARY KEY (result_id, outcome));

CREATE TABLE review (
    review_id uuid CONSTRAINT review_pkey PRIMARY KEY,
    frame_id uuid NOT NULL,
    reviewer text NOT NULL,
    class_name text NOT NULL,
    severity text NOT NULL,
    action text,
    comment text NOT NULL,
    reviewed_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    event jsonb NOT NULL);

CREATE TABLE dead_letter (
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
    event jsonb NOT NULL);

CREATE TABLE alert (
    alert_id uuid CONSTRAINT alert_pkey PRIMARY KEY,
    line text NOT NULL,
    product_id text NOT NULL,
    limit_name text NOT NULL,
    reason text NOT NULL,
    request_stop boolean NOT NULL,
    raised_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    event jsonb NOT NULL);

CREATE TABLE policy_version (
    policy_hash text CONSTRAINT policy_version_pkey PRIMARY KEY,
    product_id text NOT NULL,
    body json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());

CREATE TABLE policy_audit (
    id bigserial CONSTRAINT policy_audit_pkey PRIMARY KEY,
    product_id text NOT NULL,
    from_hash text,
    to_hash text NOT NULL
        CONSTRAINT policy_audit_to_hash_fkey REFERENCES policy_version (policy_hash),
    applied_by text NOT NULL,
    reason text NOT NULL,
    softening boolean NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now());

CREATE INDEX anomaly_captured_at_frame_id_idx ON anomaly (captured_at, frame_id);
CREATE INDEX decision_captured_at_frame_id_idx ON decision (captured_at, frame_id);
CREATE INDEX decision_frame_id_idx ON decision (frame_id);
CREATE INDEX decision_part_id_idx ON decision (part_id);
CREATE INDEX decision_lot_id_captured_at_idx ON decision (lot_id, captured_at);
CREATE INDEX decision_class_name_captured_at_idx ON decision (class_name, captured_at);
CREATE INDEX acknowledgement_frame_id_idx ON acknowledgement (frame_id);
CREATE INDEX acknowledgement_captured_at_frame_id_idx ON acknowledgement (captured_at, frame_id);
CREATE INDEX review_frame_id_reviewed_at_idx ON review (frame_id, reviewed_at);
CREATE INDEX dead_letter_failed_at_idx ON dead_letter (failed_at);
CREATE INDEX dead_letter_frame_id_idx ON dead_letter (frame_id);
CREATE INDEX alert_line_product_id_raised_at_idx ON alert (line, product_id, raised_at);
CREATE INDEX policy_version_product_id_idx ON policy_version (product_id);
CREATE INDEX policy_audit_product_id_applied_at_idx ON policy_audit (product_id, applied_at);
CREATE INDEX decision_not_passed_idx ON decision (captured_at, frame_id) WHERE action <> 'pass';
CREATE INDEX decision_not_answered_idx ON decision (captured_at, frame_id)
    WHERE source IN ('fallback', 'watchdog');

-- What the PLC took comes first, then what was written to it, then what nobody answered for.
CREATE FUNCTION outcome_rank(outcome text, written_at timestamptz) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN CASE
        WHEN outcome = 'acknowledged' THEN 0
        WHEN outcome = 'unacknowledged' AND written_at IS NOT NULL THEN 1
        WHEN outcome IS NULL OR outcome = 'unacknowledged' THEN 2
        ELSE 3 END;

CREATE FUNCTION source_rank(source text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN CASE source
        WHEN 'expert' THEN 0 WHEN 'classifier' THEN 1 WHEN 'fallback' THEN 2
        WHEN 'watchdog' THEN 3 ELSE 4 END;

CREATE VIEW decision_outcome AS SELECT d.result_id, d.frame_id, d.line, d.station, d.product_id,
        d.part_id, d.lot_id, d.plc_boot_id, d.trigger_seq, d.captured_at, d.is_simulated, d.source,
        d.evaluation, d.class_name, d.severity, d.action, d.reason_code, d.reason, d.rule,
        d.is_late, d.policy_hash, d.score, d.p_value, d.expert_version, d.classifier, d.confidence,
        d.decided_at, d.recorded_at, d.event, a.outcome, a.result_seq, a.written_at,
        a.acknowledged_at, a.trigger_to_write_ms,
        (outcome_rank(a.outcome, a.written_at) * 100
            + CASE WHEN d.is_late THEN 50 ELSE 0 END + source_rank(d.source)) AS rank
    FROM decision d LEFT JOIN LATERAL (
        SELECT k.outcome, k.result_seq, k.written_at, k.acknowledged_at, k.trigger_to_write_ms
        FROM acknowledgement k WHERE k.result_id = d.result_id
        ORDER BY outcome_rank(k.outcome, k.written_at), k.outcome LIMIT 1) a ON true;

-- For pages: each row asks whether it is the effective one. Quick for a few rows.
CREATE VIEW frame_history AS SELECT d.*,
    (SELECT max(a.image_key) FROM anomaly a WHERE a.frame_id = d.frame_id) AS image_key,
    (SELECT max(a.mask_key) FROM anomaly a WHERE a.frame_id = d.frame_id) AS mask_key,
    (SELECT to_jsonb(r) - 'event' FROM review r WHERE r.frame_id = d.frame_id
        ORDER BY r.reviewed_at DESC, r.review_id DESC LIMIT 1) AS review,
    (SELECT jsonb_agg(jsonb_build_object('source', o.source, 'action', o.action,
        'class_name', o.class_name, 'is_late', o.is_late, 'decided_at', o.decided_at,
        'outcome', o.outcome) ORDER BY o.rank, o.decided_at, o.result_id)
        FROM decision_outcome o
        WHERE o.frame_id = d.frame_id AND o.result_id <> d.result_id) AS other_decisions
    FROM decision_outcome d
    WHERE d.result_id = (SELECT o.result_id FROM decision_outcome o
        WHERE o.frame_id = d.frame_id ORDER BY o.rank, o.decided_at, o.result_id LIMIT 1);

-- For scans: the same rows, found by one ordered pass. Quick for many rows.
CREATE VIEW frame_scan AS SELECT d.*,
    (SELECT max(a.image_key) FROM anomaly a WHERE a.frame_id = d.frame_id) AS image_key,
    (SELECT max(a.mask_key) FROM anomaly a WHERE a.frame_id = d.frame_id) AS mask_key,
    (SELECT to_jsonb(r) - 'event' FROM review r WHERE r.frame_id = d.frame_id
        ORDER BY r.reviewed_at DESC, r.review_id DESC LIMIT 1) AS review,
    (SELECT jsonb_agg(jsonb_build_object('source', o.source, 'action', o.action,
        'class_name', o.class_name, 'is_late', o.is_late, 'decided_at', o.decided_at,
        'outcome', o.outcome) ORDER BY o.rank, o.decided_at, o.result_id)
        FROM decision_outcome o
        WHERE o.frame_id = d.frame_id AND o.result_id <> d.result_id) AS other_decisions
    FROM (SELECT DISTINCT ON (e.captured_at, e.frame_id) e.result_id, e.frame_id, e.line,
        e.station, e.product_id, e.part_id, e.lot_id, e.plc_boot_id, e.trigger_seq, e.captured_at,
        e.is_simulated, e.source, e.evaluation, e.class_name, e.severity, e.action, e.reason_code,
        e.reason, e.rule, e.is_late, e.policy_hash, e.score, e.p_value, e.expert_version,
        e.classifier, e.confidence, e.decided_at, e.recorded_at, e.event, a.outcome, a.result_seq,
        a.written_at, a.acknowledged_at, a.trigger_to_write_ms,
        (outcome_rank(a.outcome, a.written_at) * 100
            + CASE WHEN e.is_late THEN 50 ELSE 0 END + source_rank(e.source)) AS rank
        FROM decision e LEFT JOIN acknowledgement a ON a.result_id = e.result_id
        ORDER BY e.captured_at, e.frame_id, (outcome_rank(a.outcome, a.written_at) * 100
            + CASE WHEN e.is_late THEN 50 ELSE 0 END + source_rank(e.source)),
            e.decided_at, e.result_id, a.outcome) d;
