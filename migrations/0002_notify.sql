-- Every node is told of each change that validation reads, whoever makes it: this crate, or a hand in psql.
-- A notification says which session changed and never what became of it: the node reads the row again.
--
-- Sign-ins, activity and the purge notify nothing: NOTIFY takes a lock of the whole database at commit.

CREATE FUNCTION device_sessions.tell_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM pg_catalog.pg_notify('device_sessions_changes', '*');
    ELSE
        PERFORM pg_catalog.pg_notify('device_sessions_changes', OLD.id::text);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER tell_update
    AFTER UPDATE OF id, user_id, expires_at, ended_at, device_name, metadata ON device_sessions.sessions
    FOR EACH ROW
    WHEN ((OLD.id, OLD.user_id, OLD.expires_at, OLD.ended_at, OLD.device_name, OLD.metadata)
          IS DISTINCT FROM (NEW.id, NEW.user_id, NEW.expires_at, NEW.ended_at, NEW.device_name, NEW.metadata))
    EXECUTE FUNCTION device_sessions.tell_change();

-- Of live rows only: the purge deletes ended ones by the million.
CREATE TRIGGER tell_delete
    AFTER DELETE ON device_sessions.sessions
    FOR EACH ROW WHEN (OLD.ended_at IS NULL)
    EXECUTE FUNCTION device_sessions.tell_change();

CREATE TRIGGER tell_truncate
    AFTER TRUNCATE ON device_sessions.sessions
    FOR EACH STATEMENT
    EXECUTE FUNCTION device_sessions.tell_change();

-- Also where session_replication_role is set, as tools for bulk changes do.
ALTER TABLE device_sessions.sessions ENABLE ALWAYS TRIGGER tell_update;
ALTER TABLE device_sessions.sessions ENABLE ALWAYS TRIGGER tell_delete;
ALTER TABLE device_sessions.sessions ENABLE ALWAYS TRIGGER tell_truncate;

INSERT INTO device_sessions.migrations (version, name) VALUES (2, 'notify');
