-- Frozen: a later change of the schema is a migration of its own. Statements end before an empty
-- line; there is none inside of one.
ALTER TABLE console_user ADD COLUMN pin text NOT NULL DEFAULT '';

ALTER TABLE console_session
    ADD COLUMN way text NOT NULL DEFAULT 'password',
    ADD COLUMN terminal text NOT NULL DEFAULT '';

UPDATE console_session SET way = 'token' WHERE label <> '';

CREATE TABLE console_handover (
    note_id uuid CONSTRAINT console_handover_pkey PRIMARY KEY,
    at timestamptz NOT NULL,
    line text NOT NULL,
    shift text NOT NULL,
    author text NOT NULL,
    note text NOT NULL,
    counted jsonb NOT NULL);

CREATE INDEX console_handover_line_at_idx ON console_handover (line, at);

CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON console_handover
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
