-- Views for business intelligence tools: stable names, local time, whole words, comments on all.
-- Applied again with each version; columns are only ever added at the end.
-- Statements end before an empty line; there is none inside of one.

CREATE SCHEMA IF NOT EXISTS bi;

CREATE TABLE IF NOT EXISTS bi.plant (
    id integer PRIMARY KEY CHECK (id = 1),
    time_zone text NOT NULL);

CREATE TABLE IF NOT EXISTS bi.shift (
    shift text PRIMARY KEY,
    starts_at time NOT NULL,
    ends_at time NOT NULL);

-- Which shift each quarter of the day belongs to, and how many days before its production day was.
CREATE OR REPLACE VIEW bi.quarter_of_day AS
    SELECT q.at AS local_time, s.shift, CASE WHEN s.ends_at <= s.starts_at AND q.at < s.ends_at
        THEN 1 ELSE 0 END AS days_back
    FROM (SELECT time '00:00' + n * interval '15 minutes' AS at FROM generate_series(0, 95) n) q
    LEFT JOIN bi.shift s ON CASE WHEN s.starts_at < s.ends_at
        THEN q.at >= s.starts_at AND q.at < s.ends_at
        ELSE q.at >= s.starts_at OR q.at < s.ends_at END;

-- Each quarter of an hour that has parts, in the plant's time.
CREATE OR REPLACE VIEW bi.quarter AS
    SELECT k.quarter, k.local_start, k.local_start::date AS local_day,
        coalesce(d.shift, '') AS shift, k.local_start::date - coalesce(d.days_back, 0)
        AS production_day
    FROM (SELECT DISTINCT c.quarter, c.quarter AT TIME ZONE (SELECT time_zone FROM bi.plant)
        AS local_start FROM part_count c) k
    LEFT JOIN bi.quarter_of_day d ON d.local_time = k.local_start::time;

CREATE OR REPLACE VIEW bi.part AS
    SELECT f.part_frame_id AS frame_id, f.captured_at,
        f.captured_at AT TIME ZONE p.time_zone AS captured_local,
        (f.captured_at AT TIME ZONE p.time_zone)::date AS local_day,
        f.line, f.station, f.product_id, f.part_id, f.lot_id, f.action, f.severity, f.class_name,
        f.source, f.rule, f.outcome, f.score, f.p_value, f.confidence, f.expert_version,
        f.policy_hash, f.trigger_to_write_ms, f.has_late_answer, f.review_severity, f.review_class,
        f.decided_at, f.acknowledged_at, f.is_simulated
    FROM part_fact f CROSS JOIN bi.plant p;

CREATE OR REPLACE VIEW bi.quality_by_hour AS
    SELECT date_trunc('hour', q.local_start) AS local_hour, c.line, c.station, c.product_id,
        sum(c.parts)::bigint AS parts,
        coalesce(sum(c.parts) FILTER (WHERE c.action = 'pass'), 0)::bigint AS passed,
        coalesce(sum(c.parts) FILTER (WHERE c.action = 'rework'), 0)::bigint AS reworked,
        coalesce(sum(c.parts) FILTER (WHERE c.action = 'scrap'), 0)::bigint AS scrapped,
        coalesce(sum(c.parts) FILTER (WHERE c.action = 'hold'), 0)::bigint AS held,
        (coalesce(sum(c.parts) FILTER (WHERE c.action = 'pass'), 0) / sum(c.parts))::float8
            AS pass_rate
    FROM part_count c JOIN bi.quarter q ON q.quarter = c.quarter
    GROUP BY 1, 2, 3, 4 HAVING sum(c.parts) > 0;

CREATE OR REPLACE VIEW bi.quality_by_shift AS
    SELECT q.production_day, q.shift, c.line, c.station, c.product_id,
        sum(c.parts)::bigint AS parts,
        coalesce(sum(c.parts) FILTER (WHERE c.action = 'pass'), 0)::bigint AS passed,
        coalesce(sum(c.parts) FILTER (WHERE c.action = 'rework'), 0)::bigint AS reworked,
        coalesce(sum(c.parts) FILTER (WHERE c.action = 'scrap'), 0)::bigint AS scrapped,
        coalesce(sum(c.parts) FILTER (WHERE c.action = 'hold'), 0)::bigint AS held,
        (coalesce(sum(c.parts) FILTER (WHERE c.action = 'pass'), 0) / sum(c.parts))::float8
            AS pass_rate
    FROM part_count c JOIN bi.quarter q ON q.quarter = c.quarter
    GROUP BY 1, 2, 3, 4, 5 HAVING sum(c.parts) > 0;

CREATE OR REPLACE VIEW bi.defects_by_day AS
    SELECT q.production_day, c.line, c.station, c.product_id, c.class_name, c.severity, c.action,
        c.rule, sum(c.parts)::bigint AS parts
    FROM part_count c JOIN bi.quarter q ON q.quarter = c.quarter
    WHERE c.action <> 'pass' OR c.class_name <> ''
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 HAVING sum(c.parts) > 0;

CREATE OR REPLACE VIEW bi.defect_pareto AS
    SELECT g.product_id, g.class_name, g.parts,
        (g.parts / sum(g.parts) OVER (PARTITION BY g.product_id))::float8 AS share,
        (sum(g.parts) OVER (PARTITION BY g.product_id ORDER BY g.parts DESC, g.class_name)
            / sum(g.parts) OVER (PARTITION BY g.product_id))::float8 AS cumulative_share
    FROM (SELECT c.product_id, c.class_name, sum(c.parts)::bigint AS parts FROM part_count c
        WHERE c.action <> 'pass' GROUP BY 1, 2 HAVING sum(c.parts) > 0) g;

CREATE OR REPLACE VIEW bi.answers_by_day AS
    SELECT q.production_day, c.line, c.station, c.product_id, c.source, c.expert_version,
        c.policy_hash, coalesce(c.outcome, 'none') AS outcome, sum(c.parts)::bigint AS parts,
        coalesce(sum(c.parts) FILTER (WHERE c.has_late_answer), 0)::bigint AS with_late_answer
    FROM part_count c JOIN bi.quarter q ON q.quarter = c.quarter
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 HAVING sum(c.parts) > 0;

CREATE OR REPLACE VIEW bi.reviews_by_day AS
    SELECT q.production_day, c.line, c.station, c.product_id, c.class_name,
        sum(c.parts)::bigint AS reviewed,
        coalesce(sum(c.parts) FILTER (WHERE c.review_severity = c.severity), 0)::bigint AS agreed,
        coalesce(sum(c.parts) FILTER (WHERE c.action = 'pass' AND c.review_severity = 'defect'), 0)::bigint AS escaped,
        coalesce(sum(c.parts) FILTER (WHERE c.action <> 'pass'
            AND c.review_severity IN ('normal', 'negligible')), 0)::bigint AS false_alarms
    FROM part_count c JOIN bi.quarter q ON q.quarter = c.quarter
    WHERE c.review_severity IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5 HAVING sum(c.parts) > 0;
