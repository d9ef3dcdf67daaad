-- Blind audits of parts that passed. Frozen: a later change of the schema is a migration of its
-- own. Statements end before an empty line; there is none inside of one.

ALTER TABLE review ADD COLUMN is_blind boolean NOT NULL DEFAULT false;

-- A number from 0 to below 1 that nobody chooses, as `streams.ids.audit_draw` gives it: a part that
-- passed is in the sample when its number is under the share of the policy that decided it.
CREATE FUNCTION audit_draw(part uuid) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT ('x' || encode(substring(sha256(uuid_send(part)) FROM 1 FOR 6), 'hex'))::bit(48)::bigint
        / 281474976710656::double precision
$$;

-- The parts that passed and were drawn, with their latest blind review: `audit_severity` is null
-- until there is one.
CREATE VIEW audit_sample AS SELECT f.part_frame_id, f.captured_at, f.line, f.station, f.product_id,
        f.part_id, f.lot_id, f.is_simulated, f.source, f.class_name, f.severity, f.action, f.rule,
        f.policy_hash, f.expert_version, f.review_severity, v.share, r.severity AS audit_severity,
        EXISTS (SELECT FROM anomaly a WHERE a.frame_id = ANY (part_frames(f.part_frame_id)))
            AS has_picture
    FROM part_fact f
    JOIN (SELECT p.policy_hash, (p.body ->> 'audit_share')::double precision AS share
        FROM policy_version p) v ON v.policy_hash = f.policy_hash
    LEFT JOIN LATERAL (SELECT o.severity FROM review o
        WHERE o.is_blind AND o.frame_id = ANY (part_frames(f.part_frame_id))
        ORDER BY o.reviewed_at DESC, o.review_id DESC LIMIT 1) r ON true
    WHERE f.action = 'pass' AND audit_draw(f.part_frame_id) < v.share;
