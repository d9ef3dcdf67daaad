-- Frozen: a later change of the schema is a migration of its own. Statements end before an empty
-- line; there is none inside of one.
CREATE TABLE console_user (
    name text CONSTRAINT console_user_pkey PRIMARY KEY,
    password text NOT NULL,
    role text NOT NULL,
    must_change boolean NOT NULL,
    is_disabled boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());

CREATE TABLE console_session (
    secret_hash text CONSTRAINT console_session_pkey PRIMARY KEY,
    user_name text NOT NULL CONSTRAINT console_session_user_name_fkey REFERENCES console_user (name),
    label text NOT NULL,
    role text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz);

CREATE INDEX console_session_user_name_idx ON console_session (user_name);

CREATE TABLE console_audit (
    number bigint CONSTRAINT console_audit_pkey PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    login text NOT NULL,
    via text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    reason text NOT NULL,
    address text NOT NULL,
    agent text NOT NULL,
    previous_hash text NOT NULL,
    row_hash text NOT NULL);

CREATE INDEX console_audit_action_at_idx ON console_audit (action, at);

CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON console_audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
