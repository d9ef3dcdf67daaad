-- Says no to a change of an insert-only table. Frozen: a later change of the schema is a migration
-- of its own. Statements end before an empty line; there is none inside of one.
-- Whoever means it (old days are removed) disables the trigger in the same transaction:
--     ALTER TABLE decision DISABLE TRIGGER insert_only; ... ENABLE TRIGGER insert_only;
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are only ever added: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege',
            HINT = 'the owner may disable the trigger insert_only within one transaction';
END
$$;
