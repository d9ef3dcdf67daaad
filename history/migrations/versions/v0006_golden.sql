-- Golden parts: known parts that check the line. Frozen: a later change of the schema is a migration
-- of its own. Statements end before an empty line; there is none inside of one.

ALTER TABLE decision ADD COLUMN is_golden boolean NOT NULL DEFAULT false;

-- As before, but for golden parts: they have no fact, and so are in no count, page or export.
CREATE OR REPLACE FUNCTION effective_facts(parts uuid[]) RETURNS SETOF part_fact
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
    WHERE NOT EXISTS (SELECT FROM frames h JOIN decision g ON g.frame_id = h.frame AND g.is_golden
        WHERE h.part = e.part)
$$;

-- One row per run of a golden part: the decision that counts, and whether it was right.
CREATE VIEW golden_run AS SELECT DISTINCT ON (d.frame_id) d.frame_id, d.captured_at, d.line,
        d.station, d.product_id, d.part_id, d.source, d.class_name, d.severity, d.action, d.reason,
        d.policy_hash, d.expert_version, a.outcome,
        (d.event #>> '{golden,is_right}')::boolean AS is_right,
        ARRAY(SELECT jsonb_array_elements_text(d.event #> '{golden,actions}')) AS expected
    FROM decision d LEFT JOIN acknowledgement a ON a.result_id = d.result_id
    WHERE d.is_golden
    ORDER BY d.frame_id, outcome_rank(a.outcome, a.written_at), d.is_late, source_rank(d.source),
        d.decided_at, d.result_id;
