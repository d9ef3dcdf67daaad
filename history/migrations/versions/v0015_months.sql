-- Tables of events by month. Frozen: a later change of the schema is a migration of its own.
-- Statements end before an empty line; there is none inside of one.
-- A month is told by the frame id, a UUIDv7, which begins with the milliseconds at which it was
-- minted: so the key of each table can hold it, and one identity stays one row.

-- The least frame id that can be minted at a moment.
CREATE FUNCTION first_frame_at(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0')
        || repeat('0', 20))::uuid
$$;

-- Puts a table in the place of one of the same name, in parts by month or in one piece, with its
-- indexes, triggers, rights and views. Takes a moment, whatever the table holds: it becomes the
-- part of all frames before `edge`, for which a valid CHECK constraint `<name>_before_edge` must
-- stand; without an edge its rows are copied. `key` is the primary key; a unique index on it that
-- is called `<name>_month_key` is taken for it where the table has another one.
CREATE FUNCTION remake_table(name text, key text, is_by_month boolean, edge uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    old text := name || '_before';
    whole pg_class := (SELECT c FROM pg_class c WHERE c.oid = to_regclass(quote_ident(name)));
    views text[] := ARRAY(
        SELECT DISTINCT format('CREATE OR REPLACE VIEW %s AS %s', r.ev_class::regclass,
            pg_get_viewdef(r.ev_class)) FROM pg_depend d
        JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = whole.oid);
    indexes text[] := ARRAY(SELECT replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ')
        FROM pg_index i WHERE i.indrelid = whole.oid AND NOT i.indisunique);
    triggers text[] := ARRAY(SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t
        WHERE t.tgrelid = whole.oid AND NOT t.tgisinternal);
    rights text[] := ARRAY(SELECT format('GRANT %s ON %I TO %s', a.privilege_type, name,
            CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
        FROM aclexplode(whole.relacl) a WHERE a.grantee <> whole.relowner);
    words text;
    kept text;
BEGIN
    EXECUTE format('ALTER TABLE %I RENAME TO %I', name, old);
    FOR kept IN SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = whole.oid LOOP
        EXECUTE format('ALTER INDEX %I RENAME TO %I', kept, replace(kept, name, old));
    END LOOP;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING STORAGE '
        'INCLUDING COMMENTS) %s', name, old,
        CASE WHEN is_by_month THEN 'PARTITION BY RANGE (frame_id)' ELSE '' END);
    EXECUTE format('ALTER TABLE %I OWNER TO %s', name, whole.relowner::regrole);
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I PRIMARY KEY (%s)', name, name || '_pkey', key);
    words := obj_description(whole.oid, 'pg_class');
    IF words IS NOT NULL THEN
        EXECUTE format('COMMENT ON TABLE %I IS %L', name, words);
    END IF;
    IF edge IS NULL THEN
        EXECUTE format('INSERT INTO %I SELECT * FROM %I', name, old);
    END IF;
    FOREACH words IN ARRAY indexes || triggers || rights || views LOOP
        EXECUTE words;
    END LOOP;
    IF edge IS NULL THEN
        EXECUTE format('DROP TABLE %I', old);
    ELSE
        FOR kept IN SELECT t.tgname FROM pg_trigger t
            WHERE t.tgrelid = whole.oid AND t.tgnewtable IS NOT NULL LOOP
            EXECUTE format('DROP TRIGGER %I ON %I', kept, old);
        END LOOP;
        IF to_regclass(quote_ident(old || '_month_key')) IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', old, old || '_pkey');
            EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I PRIMARY KEY USING INDEX %I', old,
                old || '_pkey', old || '_month_key');
        END IF;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)',
            name, old, edge);
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', old, name || '_before_edge');
    END IF;
    IF is_by_month THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', name || '_other', name);
        PERFORM refuse_changes_of(name || '_other');
    END IF;
END
$$;

-- A statement that names a part goes past the triggers of the whole.
CREATE FUNCTION refuse_changes_of(part text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
        'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', part);
END
$$;

-- Makes the parts that are missing of the months from that of `since` to `ahead` months after this
-- one, and moves into them what lay in the part for all other frames. How many it made. It waits
-- half a second for a lock, and runs with its owner's rights: the role record calls it. A constraint
-- that an interrupted division left goes before any frame can come that it would refuse.
CREATE FUNCTION add_months(ahead integer, since timestamptz) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC'
    SET lock_timeout = '500ms' AS $$
DECLARE
    name text;
    part text;
    month timestamptz;
    bounds text;
    made integer := 0;
    is_odd boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(281024950128);
    FOR name, part IN SELECT k.conrelid::regclass, k.conname FROM pg_constraint k
        JOIN pg_class c ON c.oid = k.conrelid AND c.relkind = 'r' AND NOT c.relispartition
        WHERE k.connamespace = current_schema()::regnamespace AND k.conname LIKE '%_before_edge'
            AND substring(pg_get_constraintdef(k.oid) FROM '''([0-9a-f-]{36})''')::uuid
                < first_frame_at(now() + interval '14 days') LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', name, part);
    END LOOP;
    FOR name, month IN SELECT c.relname, m FROM pg_class c,
        generate_series(date_trunc('month', since), date_trunc('month', now())
            + ahead * interval '1 month', interval '1 month') m
        WHERE c.relkind = 'p' AND c.relnamespace = current_schema()::regnamespace
            AND pg_get_partkeydef(c.oid) = 'RANGE (frame_id)'
            AND NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class b ON b.oid = i.inhrelid
                WHERE i.inhparent = c.oid AND b.relname = c.relname || '_before'
                AND first_frame_at(m) < substring(pg_get_expr(b.relpartbound, b.oid)
                    FROM 'TO \(''(.*)''\)')::uuid)
        ORDER BY 1, 2 LOOP
        part := name || to_char(month, '_YYYY_MM');
        CONTINUE WHEN to_regclass(quote_ident(part)) IS NOT NULL;
        bounds := format('FROM (%L) TO (%L)', first_frame_at(month),
            first_frame_at(month + interval '1 month'));
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING STORAGE '
            'INCLUDING COMMENTS)', part, name);
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', name || '_other');
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE frame_id >= %L AND frame_id < %L)',
            name || '_other', first_frame_at(month), first_frame_at(month + interval '1 month'))
            INTO is_odd;
        IF is_odd THEN
            EXECUTE format('ALTER TABLE %I DISABLE TRIGGER insert_only', name || '_other');
            EXECUTE format('WITH moved AS (DELETE FROM %I WHERE frame_id >= %L AND frame_id < %L '
                'RETURNING *) INSERT INTO %I SELECT * FROM moved', name || '_other',
                first_frame_at(month), first_frame_at(month + interval '1 month'), part);
            EXECUTE format('ALTER TABLE %I ENABLE TRIGGER insert_only', name || '_other');
        END IF;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES %s', name, part, bounds);
        PERFORM refuse_changes_of(part);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

-- As before; an answer is looked for in the month of its decision alone.
CREATE OR REPLACE VIEW decision_outcome AS SELECT d.result_id, d.frame_id, d.line, d.station, d.product_id,
        d.part_id, d.lot_id, d.plc_boot_id, d.trigger_seq, d.captured_at, d.is_simulated, d.source,
        d.evaluation, d.class_name, d.severity, d.action, d.reason_code, d.reason, d.rule,
        d.is_late, d.policy_hash, d.score, d.p_value, d.expert_version, d.classifier, d.confidence,
        d.decided_at, d.recorded_at, d.event, a.outcome, a.result_seq, a.written_at,
        a.acknowledged_at, a.trigger_to_write_ms,
        (outcome_rank(a.outcome, a.written_at) * 100
            + CASE WHEN d.is_late THEN 50 ELSE 0 END + source_rank(d.source)) AS rank
    FROM decision d LEFT JOIN LATERAL (
        SELECT k.outcome, k.result_seq, k.written_at, k.acknowledged_at, k.trigger_to_write_ms
        FROM acknowledgement k WHERE k.frame_id = d.frame_id AND k.result_id = d.result_id
        ORDER BY outcome_rank(k.outcome, k.written_at), k.outcome LIMIT 1) a ON true;

-- As before; decisions and pictures are looked for in the months of the part's frames alone.
CREATE OR REPLACE VIEW frame_history AS SELECT f.part_frame_id AS frame_id, f.line, f.station, f.product_id,
        f.part_id, f.lot_id, d.plc_boot_id, d.trigger_seq, f.captured_at, f.is_simulated,
        f.result_id, f.source, d.evaluation, f.class_name, f.severity, f.action, d.reason_code,
        d.reason, f.rule, d.is_late, f.policy_hash, f.score, f.p_value, f.expert_version,
        d.classifier, f.confidence, f.decided_at, d.recorded_at, d.event, f.outcome, f.result_seq,
        f.written_at, f.acknowledged_at, f.trigger_to_write_ms, f.has_late_answer,
        f.review_severity, f.is_repeated,
    (SELECT max(a.image_key) FROM unnest(part_frames(f.part_frame_id)) p(frame) CROSS JOIN LATERAL
        (SELECT i.image_key FROM anomaly i WHERE i.frame_id = p.frame OFFSET 0) a) AS image_key,
    (SELECT max(a.mask_key) FROM unnest(part_frames(f.part_frame_id)) p(frame) CROSS JOIN LATERAL
        (SELECT i.mask_key FROM anomaly i WHERE i.frame_id = p.frame OFFSET 0) a) AS mask_key,
    (SELECT to_jsonb(r) - 'event' FROM standing_review r
        WHERE r.frame_id = ANY (part_frames(f.part_frame_id))
        ORDER BY r.reviewed_at DESC, r.review_id DESC LIMIT 1) AS review,
    (SELECT jsonb_agg(jsonb_build_object('source', o.source, 'action', o.action,
        'class_name', o.class_name, 'is_late', o.is_late, 'decided_at', o.decided_at,
        'outcome', o.outcome) ORDER BY o.rank, o.decided_at, o.result_id)
        FROM unnest(part_frames(f.part_frame_id)) p(frame) CROSS JOIN LATERAL
            (SELECT * FROM decision_outcome i WHERE i.frame_id = p.frame
                AND i.result_id <> f.result_id OFFSET 0) o) AS other_decisions
    FROM part_fact f CROSS JOIN LATERAL (
        SELECT i.plc_boot_id, i.trigger_seq, i.evaluation, i.reason_code, i.reason, i.is_late,
            i.classifier, i.recorded_at, i.event
        FROM decision i WHERE i.frame_id = f.part_frame_id AND i.result_id = f.result_id
        UNION ALL
        SELECT i.plc_boot_id, i.trigger_seq, i.evaluation, i.reason_code, i.reason, i.is_late,
            i.classifier, i.recorded_at, i.event
        FROM shot s CROSS JOIN LATERAL (SELECT * FROM decision k
            WHERE k.frame_id = s.frame_id AND k.result_id = f.result_id OFFSET 0) i
        WHERE s.part_frame_id = f.part_frame_id) d;

-- As before.
CREATE OR REPLACE VIEW golden_run AS SELECT DISTINCT ON (d.frame_id) d.frame_id, d.captured_at, d.line,
        d.station, d.product_id, d.part_id, d.source, d.class_name, d.severity, d.action, d.reason,
        d.policy_hash, d.expert_version, a.outcome,
        (d.event #>> '{golden,is_right}')::boolean AS is_right,
        ARRAY(SELECT jsonb_array_elements_text(d.event #> '{golden,actions}')) AS expected
    FROM decision d LEFT JOIN LATERAL (SELECT k.outcome, k.written_at FROM acknowledgement k
        WHERE k.frame_id = d.frame_id AND k.result_id = d.result_id OFFSET 0) a ON true
    WHERE d.is_golden
    ORDER BY d.frame_id, outcome_rank(a.outcome, a.written_at), d.is_late, source_rank(d.source),
        d.decided_at, d.result_id;

-- As before.
CREATE OR REPLACE VIEW audit_sample AS SELECT f.part_frame_id, f.captured_at, f.line, f.station, f.product_id,
        f.part_id, f.lot_id, f.is_simulated, f.source, f.class_name, f.severity, f.action, f.rule,
        f.policy_hash, f.expert_version, f.review_severity, v.share, r.severity AS audit_severity,
        EXISTS (SELECT FROM unnest(part_frames(f.part_frame_id)) p(frame) CROSS JOIN LATERAL
            (SELECT FROM anomaly i WHERE i.frame_id = p.frame OFFSET 0) a) AS has_picture
    FROM part_fact f
    JOIN (SELECT p.policy_hash, (p.body ->> 'audit_share')::double precision AS share
        FROM policy_version p) v ON v.policy_hash = f.policy_hash
    LEFT JOIN LATERAL (SELECT o.severity FROM standing_review o
        WHERE (o.is_blind OR o.is_settlement) AND o.frame_id = ANY (part_frames(f.part_frame_id))
        ORDER BY o.reviewed_at DESC, o.review_id DESC LIMIT 1) r ON true
    WHERE f.action = 'pass' AND audit_draw(f.part_frame_id) < v.share;

-- As before, an answer by the frame of its decision, and golden parts told by the rows that are
-- read anyway.
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
            a.trigger_to_write_ms, bool_or(d.is_late) OVER of_part AS has_late_answer,
            bool_or(d.is_golden) OVER of_part AS is_golden
        FROM frames f
        CROSS JOIN LATERAL (SELECT * FROM decision i WHERE i.frame_id = f.frame OFFSET 0) d
        LEFT JOIN LATERAL (SELECT * FROM acknowledgement i WHERE i.frame_id = d.frame_id
            AND i.result_id = d.result_id OFFSET 0) a ON true
        WINDOW of_part AS (PARTITION BY f.part)
        ORDER BY f.part, d.frame_id <> f.part, outcome_rank(a.outcome, a.written_at), d.is_late,
            source_rank(d.source), d.decided_at, d.result_id, a.outcome)
    SELECT e.part, e.captured_at, e.line, e.station, e.product_id, e.part_id, e.lot_id,
        e.is_simulated, e.result_id, e.source, e.class_name, e.severity, e.action, e.rule,
        e.policy_hash, e.expert_version, e.score, e.p_value, e.confidence, e.decided_at, e.outcome,
        e.result_seq, e.written_at, e.acknowledged_at, e.trigger_to_write_ms, e.has_late_answer,
        r.severity, r.class_name, false
    FROM effective e LEFT JOIN LATERAL (
        SELECT v.severity, v.class_name FROM (
            SELECT o.* FROM standing_review o WHERE o.frame_id = e.part
            UNION ALL SELECT o.* FROM shot s JOIN standing_review o ON o.frame_id = s.frame_id
            WHERE s.part_frame_id = e.part) v
        ORDER BY v.reviewed_at DESC, v.review_id DESC LIMIT 1) r ON true
    WHERE NOT e.is_golden
$$;
