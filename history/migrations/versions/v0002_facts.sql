-- One row per part, kept as its events are recorded, and counts of those rows by quarter of an
-- hour. Frozen: a later change of the schema is a migration of its own.
-- Statements end before an empty line; there is none inside of one.

-- Pages, statistics and exports read the facts: nobody asks these any more.
DROP INDEX decision_part_id_idx, decision_lot_id_captured_at_idx,
    decision_class_name_captured_at_idx, decision_not_passed_idx, decision_not_answered_idx;

DROP VIEW frame_history, frame_scan;

-- Which part a photograph belongs to, when it is not the part's only one.
CREATE TABLE shot (
    frame_id uuid CONSTRAINT shot_pkey PRIMARY KEY,
    part_frame_id uuid NOT NULL);

CREATE INDEX shot_part_frame_id_idx ON shot (part_frame_id);

CREATE TABLE part_fact (
    part_frame_id uuid CONSTRAINT part_fact_pkey PRIMARY KEY,
    captured_at timestamptz NOT NULL,
    line text NOT NULL,
    station text NOT NULL,
    product_id text NOT NULL,
    part_id text NOT NULL,
    lot_id text NOT NULL,
    is_simulated boolean NOT NULL,
    result_id uuid NOT NULL,
    source text NOT NULL,
    class_name text NOT NULL,
    severity text NOT NULL,
    action text NOT NULL,
    rule text NOT NULL,
    policy_hash text NOT NULL,
    expert_version text NOT NULL,
    score double precision,
    p_value double precision,
    confidence double precision,
    decided_at timestamptz NOT NULL,
    outcome text,
    result_seq bigint,
    written_at timestamptz,
    acknowledged_at timestamptz,
    trigger_to_write_ms double precision,
    has_late_answer boolean NOT NULL,
    review_severity text,
    review_class text,
    is_repeated boolean NOT NULL) WITH (fillfactor = 85);

CREATE INDEX part_fact_captured_at_part_frame_id_idx ON part_fact (captured_at, part_frame_id);

CREATE INDEX part_fact_part_id_idx ON part_fact (part_id);

CREATE INDEX part_fact_lot_id_captured_at_idx ON part_fact (lot_id, captured_at);

CREATE INDEX part_fact_class_name_captured_at_idx ON part_fact (class_name, captured_at);

CREATE INDEX part_fact_not_passed_idx ON part_fact (captured_at, part_frame_id)
    WHERE action <> 'pass';

CREATE INDEX part_fact_not_answered_idx ON part_fact (captured_at, part_frame_id)
    WHERE source IN ('fallback', 'watchdog');

CREATE INDEX part_fact_reviewed_idx ON part_fact (captured_at, part_frame_id)
    WHERE review_severity IS NOT NULL;

CREATE INDEX part_fact_repeated_idx ON part_fact (captured_at, part_frame_id) WHERE is_repeated;

CREATE TABLE part_count (
    quarter timestamptz NOT NULL,
    key uuid NOT NULL,
    line text NOT NULL,
    station text NOT NULL,
    product_id text NOT NULL,
    is_simulated boolean NOT NULL,
    source text NOT NULL,
    class_name text NOT NULL,
    severity text NOT NULL,
    action text NOT NULL,
    rule text NOT NULL,
    policy_hash text NOT NULL,
    expert_version text NOT NULL,
    outcome text,
    has_late_answer boolean NOT NULL,
    review_severity text,
    is_repeated boolean NOT NULL,
    parts bigint NOT NULL,
    CONSTRAINT part_count_pkey PRIMARY KEY (quarter, key)) WITH (fillfactor = 50);

-- How far the facts of parts that were recorded before this version have been written.
CREATE TABLE fact_backfill (
    id integer CONSTRAINT fact_backfill_pkey PRIMARY KEY,
    after_frame_id uuid NOT NULL,
    is_done boolean NOT NULL);

-- What the insert-only tables say of parts: one row for each that has a decision.
CREATE FUNCTION effective_facts(parts uuid[]) RETURNS SETOF part_fact
    LANGUAGE sql STABLE ROWS 100 AS $$
    WITH frames AS (
        SELECT p AS part, p AS frame FROM unnest(parts) p
            WHERE (SELECT s.part_frame_id FROM shot s WHERE s.frame_id = p) IS NULL
        UNION
        SELECT s.part_frame_id, s.frame_id FROM shot s WHERE s.part_frame_id = ANY (parts)),
    effective AS (
        SELECT DISTINCT ON (f.part) f.part, d.captured_at, d.line, d.station, d.product_id,
            d.part_id, d.lot_id, d.is_simulated, d.result_id, d.source, d.class_name, d.severity,
            d.action, d.rule, d.policy_hash, d.expert_version, d.score, d.p_value, d.confidence,
            d.decided_at, a.outcome, a.result_seq, a.written_at, a.acknowledged_at,
            a.trigger_to_write_ms, bool_or(d.is_late) OVER (PARTITION BY f.part) AS has_late_answer
        FROM frames f
        CROSS JOIN LATERAL (SELECT * FROM decision i WHERE i.frame_id = f.frame OFFSET 0) d
        LEFT JOIN LATERAL (SELECT * FROM acknowledgement i WHERE i.result_id = d.result_id
            OFFSET 0) a ON true
        ORDER BY f.part, d.frame_id <> f.part, outcome_rank(a.outcome, a.written_at), d.is_late,
            source_rank(d.source), d.decided_at, d.result_id, a.outcome)
    SELECT e.*, r.severity, r.class_name, false
    FROM effective e LEFT JOIN LATERAL (
        SELECT v.severity, v.class_name FROM (
            SELECT o.* FROM review o WHERE o.frame_id = e.part
            UNION ALL SELECT o.* FROM shot s JOIN review o ON o.frame_id = s.frame_id
            WHERE s.part_frame_id = e.part) v
        ORDER BY v.reviewed_at DESC, v.review_id DESC LIMIT 1) r ON true
$$;

-- The same of all parts, from the insert-only tables alone: slow, for comparison.
CREATE VIEW effective_part AS SELECT f.* FROM effective_facts(ARRAY(
    SELECT d.frame_id FROM decision d UNION SELECT s.part_frame_id FROM shot s)) f;

-- Writes the facts of some parts anew and carries the change into the counts. One transaction at
-- a time does so: events of one part may arrive in several at once, and each must see the others.
-- Few rows are looked up in large tables, always row by row and by index (OFFSET 0 and LATERAL),
-- whatever the statistics say of tables that were empty a moment ago.
CREATE FUNCTION refresh_facts(asked uuid[]) RETURNS void
    LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    truth part_fact[];
    before part_fact[];
    others uuid[];
BEGIN
    PERFORM pg_advisory_xact_lock(281024950127);
    truth := ARRAY(SELECT t FROM effective_facts(asked) t);
    others := ARRAY(
        SELECT DISTINCT f.part_frame_id FROM unnest(truth) t CROSS JOIN LATERAL (
            SELECT i.part_frame_id FROM part_fact i WHERE i.part_id = t.part_id
                AND i.product_id = t.product_id AND NOT i.is_repeated
                AND i.part_frame_id <> t.part_frame_id OFFSET 0) f
        WHERE t.part_id <> '');
    before := ARRAY(SELECT f FROM part_fact f WHERE f.part_frame_id = ANY (asked || others));
    DELETE FROM part_fact f WHERE f.part_frame_id = ANY (ARRAY(
        SELECT unnest(asked) EXCEPT SELECT t.part_frame_id FROM unnest(truth) t));
    INSERT INTO part_fact
        SELECT t.part_frame_id, t.captured_at, t.line, t.station, t.product_id, t.part_id,
            t.lot_id, t.is_simulated, t.result_id, t.source, t.class_name, t.severity, t.action,
            t.rule, t.policy_hash, t.expert_version, t.score, t.p_value, t.confidence,
            t.decided_at, t.outcome, t.result_seq, t.written_at, t.acknowledged_at,
            t.trigger_to_write_ms, t.has_late_answer, t.review_severity, t.review_class,
            t.part_id <> '' AND (count(*) OVER (PARTITION BY t.product_id, t.part_id) > 1
                OR EXISTS (SELECT FROM part_fact f WHERE f.part_id = t.part_id
                    AND f.product_id = t.product_id AND f.part_frame_id <> t.part_frame_id))
        FROM unnest(truth) t ORDER BY t.part_frame_id
        ON CONFLICT (part_frame_id) DO UPDATE SET captured_at = excluded.captured_at,
            line = excluded.line, station = excluded.station, product_id = excluded.product_id,
            part_id = excluded.part_id, lot_id = excluded.lot_id,
            is_simulated = excluded.is_simulated, result_id = excluded.result_id,
            source = excluded.source, class_name = excluded.class_name,
            severity = excluded.severity, action = excluded.action, rule = excluded.rule,
            policy_hash = excluded.policy_hash, expert_version = excluded.expert_version,
            score = excluded.score, p_value = excluded.p_value, confidence = excluded.confidence,
            decided_at = excluded.decided_at, outcome = excluded.outcome,
            result_seq = excluded.result_seq, written_at = excluded.written_at,
            acknowledged_at = excluded.acknowledged_at,
            trigger_to_write_ms = excluded.trigger_to_write_ms,
            has_late_answer = excluded.has_late_answer,
            review_severity = excluded.review_severity, review_class = excluded.review_class,
            is_repeated = part_fact.is_repeated OR excluded.is_repeated;
    UPDATE part_fact f SET is_repeated = true
        WHERE f.part_frame_id = ANY (others) AND NOT f.is_repeated;
    INSERT INTO part_count
        SELECT g.quarter, md5(ROW(g.line, g.station, g.product_id, g.is_simulated, g.source,
                g.class_name, g.severity, g.action, g.rule, g.policy_hash,
                g.expert_version, g.outcome, g.has_late_answer, g.review_severity,
                g.is_repeated)::text)::uuid,
            g.line, g.station, g.product_id, g.is_simulated, g.source, g.class_name, g.severity,
            g.action, g.rule, g.policy_hash, g.expert_version, g.outcome, g.has_late_answer,
            g.review_severity, g.is_repeated, g.parts
        FROM (SELECT date_bin('15 minutes', x.captured_at, 'epoch') AS quarter, x.line, x.station,
                x.product_id, x.is_simulated, x.source, x.class_name, x.severity, x.action, x.rule,
                x.policy_hash, x.expert_version, x.outcome, x.has_late_answer, x.review_severity,
                x.is_repeated, sum(x.n) AS parts
            FROM (SELECT b.*, -1 AS n FROM unnest(before) b UNION ALL
                SELECT f.*, 1 FROM part_fact f WHERE f.part_frame_id = ANY (asked || others)) x
            GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
            HAVING sum(x.n) <> 0) g
        ORDER BY 1, 2
        ON CONFLICT ON CONSTRAINT part_count_pkey
            DO UPDATE SET parts = part_count.parts + excluded.parts;
END
$$;

-- Follows the inserts of one statement. An event states its part where the part has several
-- photographs; an anomaly changes no fact but by that. It runs with its owner's rights: who records
-- needs none on the facts.
CREATE FUNCTION facts_follow() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan = off AS $$
DECLARE
    changed uuid[];
BEGIN
    WITH stated AS (SELECT i.frame_id, lower(coalesce(i.event ->> 'part_frame_id',
            i.event #>> '{frame,part_frame_id}')) AS part FROM inserted i),
        learned AS (INSERT INTO shot SELECT DISTINCT ON (s.frame_id) s.frame_id, s.part::uuid
            FROM stated s WHERE s.part <> s.frame_id::text
                AND s.part ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            ORDER BY s.frame_id ON CONFLICT DO NOTHING RETURNING frame_id)
        SELECT array_agg(l.frame_id) INTO changed FROM learned l;
    IF TG_TABLE_NAME <> 'anomaly' THEN
        changed := ARRAY(SELECT DISTINCT i.frame_id FROM inserted i);
    END IF;
    IF cardinality(changed) > 0 THEN
        PERFORM refresh_facts(ARRAY(SELECT unnest(changed) UNION
            SELECT s.part_frame_id FROM shot s WHERE s.frame_id = ANY (changed)));
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER facts_follow AFTER INSERT ON decision REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION facts_follow();

CREATE TRIGGER facts_follow AFTER INSERT ON acknowledgement REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION facts_follow();

CREATE TRIGGER facts_follow AFTER INSERT ON review REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION facts_follow();

CREATE TRIGGER facts_follow AFTER INSERT ON anomaly REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION facts_follow();

-- The facts of the next parts in the order of their frames; whether those were the last.
CREATE FUNCTION backfill_facts(at_most integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan = off AS $$
DECLARE
    low uuid;
    done boolean;
    next uuid[];
BEGIN
    SELECT b.after_frame_id, b.is_done INTO low, done FROM fact_backfill b WHERE b.id = 1
        FOR UPDATE;
    IF NOT done THEN
        next := ARRAY(SELECT d.frame_id FROM decision d WHERE d.frame_id > low
            ORDER BY d.frame_id LIMIT at_most);
        done := cardinality(next) < at_most;
        PERFORM refresh_facts(ARRAY(SELECT unnest(next) UNION
            SELECT s.part_frame_id FROM shot s WHERE s.frame_id = ANY (next)));
        UPDATE fact_backfill SET is_done = done,
            after_frame_id = coalesce(next[cardinality(next)], low) WHERE id = 1;
    END IF;
    RETURN done;
END
$$;

INSERT INTO fact_backfill SELECT 1, '00000000-0000-0000-0000-000000000000', NOT EXISTS (SELECT FROM decision);

-- Every photograph of a part, its first one included.
CREATE FUNCTION part_frames(part uuid) RETURNS uuid[] LANGUAGE sql STABLE AS $$
    SELECT array_agg(f) FROM (SELECT part AS f UNION ALL
        SELECT s.frame_id FROM shot s WHERE s.part_frame_id = part) frames
$$;

-- One row per decided part: its fact, and what pages and exports show besides.
CREATE VIEW frame_history AS SELECT f.part_frame_id AS frame_id, f.line, f.station, f.product_id,
        f.part_id, f.lot_id, d.plc_boot_id, d.trigger_seq, f.captured_at, f.is_simulated,
        f.result_id, f.source, d.evaluation, f.class_name, f.severity, f.action, d.reason_code,
        d.reason, f.rule, d.is_late, f.policy_hash, f.score, f.p_value, f.expert_version,
        d.classifier, f.confidence, f.decided_at, d.recorded_at, d.event, f.outcome, f.result_seq,
        f.written_at, f.acknowledged_at, f.trigger_to_write_ms, f.has_late_answer,
        f.review_severity, f.is_repeated,
    (SELECT max(a.image_key) FROM anomaly a
        WHERE a.frame_id = ANY (part_frames(f.part_frame_id))) AS image_key,
    (SELECT max(a.mask_key) FROM anomaly a
        WHERE a.frame_id = ANY (part_frames(f.part_frame_id))) AS mask_key,
    (SELECT to_jsonb(r) - 'event' FROM review r
        WHERE r.frame_id = ANY (part_frames(f.part_frame_id))
        ORDER BY r.reviewed_at DESC, r.review_id DESC LIMIT 1) AS review,
    (SELECT jsonb_agg(jsonb_build_object('source', o.source, 'action', o.action,
        'class_name', o.class_name, 'is_late', o.is_late, 'decided_at', o.decided_at,
        'outcome', o.outcome) ORDER BY o.rank, o.decided_at, o.result_id)
        FROM decision_outcome o WHERE o.frame_id = ANY (part_frames(f.part_frame_id))
            AND o.result_id <> f.result_id) AS other_decisions
    FROM part_fact f JOIN decision d ON d.result_id = f.result_id;

-- For readers of the version before, which scan under this name.
CREATE VIEW frame_scan AS SELECT * FROM frame_history;
