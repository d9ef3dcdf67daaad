-- Frozen: a later change of the schema is a migration of its own. Statements end before an empty
-- line; there is none inside of one.
CREATE TABLE changeover (
    step_id uuid CONSTRAINT changeover_pkey PRIMARY KEY,
    changeover_id uuid NOT NULL,
    phase text NOT NULL,
    stage text NOT NULL,
    line text NOT NULL,
    station text NOT NULL,
    recipe integer NOT NULL,
    recipe_name text NOT NULL,
    recipe_before integer NOT NULL,
    product_id text NOT NULL,
    policy_hash text NOT NULL,
    expert_version text NOT NULL,
    fault_code integer NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL,
    took_ms double precision NOT NULL,
    is_simulated boolean NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    event jsonb NOT NULL);

CREATE INDEX changeover_line_station_at_idx ON changeover (line, station, at);

CREATE INDEX changeover_changeover_id_idx ON changeover (changeover_id);

CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON changeover
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
