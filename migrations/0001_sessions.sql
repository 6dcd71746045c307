-- Sessions: one row for each sign-in. Rows are ended, not deleted, so that people can look back; a purge removes old ones.

DO $$
BEGIN
    -- Not CREATE SCHEMA IF NOT EXISTS: that asks for the right to create schemas even where there is nothing to create.
    IF to_regnamespace('device_sessions') IS NULL THEN
        CREATE SCHEMA device_sessions;
    END IF;
END
$$;

CREATE TABLE device_sessions.migrations (
    version     integer PRIMARY KEY,
    name        text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE device_sessions.sessions (
    id                uuid PRIMARY KEY,
    user_id           text NOT NULL CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    created_at        timestamptz NOT NULL DEFAULT statement_timestamp(),
    last_activity_at  timestamptz NOT NULL DEFAULT statement_timestamp(),
    expires_at        timestamptz NOT NULL,  -- the absolute end, whatever happens
    ended_at          timestamptz,
    end_reason        text,
    ended_by          text,
    device_name       text NOT NULL,
    device_type       text NOT NULL,
    form_factor       text,
    os                text,
    os_version        text,
    browser           text,
    browser_version   text,
    model             text,
    user_agent        text,
    ip_address        inet,
    location          text,
    country_code      text,
    metadata          jsonb,
    CONSTRAINT sessions_end_has_reason CHECK ((ended_at IS NULL) = (end_reason IS NULL))
)
-- Room on every page for one new version of every row, so that an activity update stays on its page and touches no
-- index (HOT). No index may ever hold last_activity_at.
WITH (fillfactor = 50);

-- The list of a user's devices and "sign out all".
CREATE INDEX sessions_live_by_user ON device_sessions.sessions (user_id, id) WHERE ended_at IS NULL;

-- An end is for ever, whoever writes: keep the first end, refuse to take it back, and give an end by hand a reason.
CREATE FUNCTION device_sessions.keep_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.ended_at IS NOT NULL THEN
        IF NEW.ended_at IS NULL THEN
            RAISE EXCEPTION 'session % has ended and cannot be revived', OLD.id
                USING ERRCODE = 'restrict_violation', HINT = 'Let the user sign in again.';
        END IF;
        NEW.ended_at := OLD.ended_at;
        NEW.end_reason := OLD.end_reason;
        NEW.ended_by := OLD.ended_by;
    ELSIF NEW.ended_at IS NULL THEN
        NEW.end_reason := NULL;
        NEW.ended_by := NULL;
    ELSIF NEW.end_reason IS NULL THEN
        -- By hand: this crate always gives a reason.
        NEW.end_reason := 'revoked_by_admin';
        NEW.ended_by := coalesce(NEW.ended_by, session_user::text);
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER keep_end
    BEFORE INSERT OR UPDATE OF ended_at, end_reason, ended_by ON device_sessions.sessions
    FOR EACH ROW EXECUTE FUNCTION device_sessions.keep_end();
-- Also where session_replication_role is set, as tools for bulk changes do.
ALTER TABLE device_sessions.sessions ENABLE ALWAYS TRIGGER keep_end;

INSERT INTO device_sessions.migrations (version, name) VALUES (1, 'sessions');
