-- What each shot of a part with several was judged. Frozen: a later change of the schema is a
-- migration of its own. Statements end before an empty line; there is none inside of one.

CREATE TABLE shot_verdict (
    result_id uuid CONSTRAINT shot_verdict_pkey PRIMARY KEY,
    frame_id uuid NOT NULL,
    part_frame_id uuid NOT NULL,
    shot integer NOT NULL,
    shot_name text NOT NULL,
    line text NOT NULL,
    station text NOT NULL,
    product_id text NOT NULL,
    part_id text NOT NULL,
    lot_id text NOT NULL,
    plc_boot_id bigint NOT NULL,
    trigger_seq bigint NOT NULL,
    captured_at timestamptz NOT NULL,
    is_simulated boolean NOT NULL,
    source text NOT NULL,
    class_name text NOT NULL,
    severity text NOT NULL,
    action text NOT NULL,
    reason_code integer NOT NULL,
    is_late boolean NOT NULL,
    decided_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    event jsonb NOT NULL);

CREATE INDEX shot_verdict_part_frame_id_idx ON shot_verdict (part_frame_id);

-- Follows the inserts of one statement. An event states its part where the part has several
-- photographs; an anomaly and the verdict on a shot change no fact but by that.
CREATE OR REPLACE FUNCTION facts_follow() RETURNS trigger
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
    IF TG_TABLE_NAME NOT IN ('anomaly', 'shot_verdict') THEN
        changed := ARRAY(SELECT DISTINCT i.frame_id FROM inserted i);
    END IF;
    IF cardinality(changed) > 0 THEN
        PERFORM refresh_facts(ARRAY(SELECT unnest(changed) UNION
            SELECT s.part_frame_id FROM shot s WHERE s.frame_id = ANY (changed)));
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER facts_follow AFTER INSERT ON shot_verdict REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION facts_follow();
