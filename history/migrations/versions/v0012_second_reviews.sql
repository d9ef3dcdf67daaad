-- Reviews that are taken back, and reviews that settle what two people disagreed about. Frozen: a
-- later change of the schema is a migration of its own. Statements end before an empty line; there
-- is none inside of one.

ALTER TABLE review ADD COLUMN is_settlement boolean NOT NULL DEFAULT false,
    ADD COLUMN withdraws uuid;

CREATE INDEX review_withdraws_idx ON review (withdraws) WHERE withdraws IS NOT NULL;

-- What people said and did not take back: a review that another one withdraws is as if it were not,
-- and the one that withdraws it says nothing of the part.
CREATE VIEW standing_review AS SELECT r.* FROM review r
    WHERE r.withdraws IS NULL
        AND NOT EXISTS (SELECT FROM review w WHERE w.withdraws = r.review_id
            AND w.frame_id = r.frame_id AND w.reviewer = r.reviewer);

-- As before, of the reviews that stand.
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
            SELECT o.* FROM standing_review o WHERE o.frame_id = e.part
            UNION ALL SELECT o.* FROM shot s JOIN standing_review o ON o.frame_id = s.frame_id
            WHERE s.part_frame_id = e.part) v
        ORDER BY v.reviewed_at DESC, v.review_id DESC LIMIT 1) r ON true
    WHERE NOT EXISTS (SELECT FROM frames h JOIN decision g ON g.frame_id = h.frame AND g.is_golden
        WHERE h.part = e.part)
$$;

-- As before, of the reviews that stand.
CREATE OR REPLACE VIEW frame_history AS SELECT f.part_frame_id AS frame_id, f.line, f.station, f.product_id,
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
    (SELECT to_jsonb(r) - 'event' FROM standing_review r
        WHERE r.frame_id = ANY (part_frames(f.part_frame_id))
        ORDER BY r.reviewed_at DESC, r.review_id DESC LIMIT 1) AS review,
    (SELECT jsonb_agg(jsonb_build_object('source', o.source, 'action', o.action,
        'class_name', o.class_name, 'is_late', o.is_late, 'decided_at', o.decided_at,
        'outcome', o.outcome) ORDER BY o.rank, o.decided_at, o.result_id)
        FROM decision_outcome o WHERE o.frame_id = ANY (part_frames(f.part_frame_id))
            AND o.result_id <> f.result_id) AS other_decisions
    FROM part_fact f JOIN decision d ON d.result_id = f.result_id;

-- As before, of the reviews that stand; what settled a disagreement counts as the two did.
CREATE OR REPLACE VIEW audit_sample AS SELECT f.part_frame_id, f.captured_at, f.line, f.station, f.product_id,
        f.part_id, f.lot_id, f.is_simulated, f.source, f.class_name, f.severity, f.action, f.rule,
        f.policy_hash, f.expert_version, f.review_severity, v.share, r.severity AS audit_severity,
        EXISTS (SELECT FROM anomaly a WHERE a.frame_id = ANY (part_frames(f.part_frame_id)))
            AS has_picture
    FROM part_fact f
    JOIN (SELECT p.policy_hash, (p.body ->> 'audit_share')::double precision AS share
        FROM policy_version p) v ON v.policy_hash = f.policy_hash
    LEFT JOIN LATERAL (SELECT o.severity FROM standing_review o
        WHERE (o.is_blind OR o.is_settlement) AND o.frame_id = ANY (part_frames(f.part_frame_id))
        ORDER BY o.reviewed_at DESC, o.review_id DESC LIMIT 1) r ON true
    WHERE f.action = 'pass' AND audit_draw(f.part_frame_id) < v.share;
