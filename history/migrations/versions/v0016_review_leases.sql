-- Frozen: a later change of the schema is a migration of its own. Statements end before an empty
-- line; there is none inside of one.
CREATE TABLE review_lease (
    part_frame_id uuid CONSTRAINT review_lease_pkey PRIMARY KEY,
    reviewer text NOT NULL,
    waits_for text NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ends_at timestamptz NOT NULL);

CREATE INDEX review_lease_reviewer_taken_at_idx ON review_lease (reviewer, taken_at);

CREATE TABLE reviewed_just_now (
    part_frame_id uuid NOT NULL,
    waits_for text NOT NULL,
    ends_at timestamptz NOT NULL,
    CONSTRAINT reviewed_just_now_pkey PRIMARY KEY (part_frame_id, waits_for));

-- How who applied a policy was known; rows of before do not say.
ALTER TABLE policy_audit ADD COLUMN login text NOT NULL DEFAULT '';
