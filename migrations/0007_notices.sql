-- Telling others what happens: what is to be told stands in the outbox, written in the transaction in which it happens,
-- whoever makes it: this crate, or a hand in psql.

-- Who is to be told. A node says so at its start, and again each hour; nothing is written for whoever does not.
CREATE TABLE device_sessions.sinks (
    name    text PRIMARY KEY,
    events  text[] NOT NULL,   -- the kinds of events
    push    text,              -- the provider whose devices it reaches
    mail    boolean NOT NULL,  -- it reaches people
    until   timestamptz NOT NULL
);

-- One row for each thing that one of them is to be told. Gone when it has been.
CREATE TABLE device_sessions.outbox (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sink        text NOT NULL,
    -- What shares a lane is delivered in the order of seq. The rows of a session are written under the lock of its row,
    -- so that this is the order in which they happened.
    lane        uuid NOT NULL,
    purpose     text NOT NULL,     -- event, force_logout, new_login, mail
    notice_id   uuid NOT NULL DEFAULT gen_random_uuid(),
    event_id    uuid NOT NULL,
    kind        text NOT NULL,
    at          timestamptz NOT NULL DEFAULT statement_timestamp(),
    user_id     text NOT NULL,
    session_id  uuid NOT NULL,
    details     jsonb NOT NULL,
    provider    text,              -- the device to tell
    token       text,
    alert_id    uuid,
    created_at  timestamptz NOT NULL DEFAULT statement_timestamp(),
    attempts    integer NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL DEFAULT statement_timestamp(),  -- while it is being delivered: when that is given up
    dead_at     timestamptz,       -- when the last attempt had failed
    last_error  text
);
CREATE INDEX outbox_due ON device_sessions.outbox (sink, due_at) WHERE dead_at IS NULL;
CREATE INDEX outbox_lanes ON device_sessions.outbox (sink, lane, seq) WHERE dead_at IS NULL;
CREATE INDEX outbox_dead ON device_sessions.outbox (seq) WHERE dead_at IS NOT NULL;
CREATE INDEX outbox_by_age ON device_sessions.outbox (created_at) WHERE dead_at IS NULL;
CREATE INDEX outbox_dead_by_age ON device_sessions.outbox (created_at) WHERE dead_at IS NOT NULL;

-- Where a session's device is reached by push. Gone when the session has ended.
CREATE TABLE device_sessions.push_targets (
    session_id  uuid PRIMARY KEY,
    provider    text NOT NULL,
    token       text NOT NULL CHECK (octet_length(token) <= 2048),
    UNIQUE (provider, token)
);

-- What users were told of sign-ins on new devices, and whether they said that it was somebody else.
CREATE TABLE device_sessions.alerts (
    id           uuid PRIMARY KEY,
    user_id      text NOT NULL,
    session_id   uuid NOT NULL,
    device_key   bytea,
    details      jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT statement_timestamp(),
    disowned_at  timestamptz
);
CREATE INDEX alerts_by_user ON device_sessions.alerts (user_id, created_at);
CREATE INDEX alerts_by_age ON device_sessions.alerts (created_at);

-- What is to be told of a pending session when it is complete.
ALTER TABLE device_sessions.sessions ADD COLUMN signals jsonb;

-- As the owner of the tables, whoever changes a session: an end must not fail because somebody may not write here.
CREATE FUNCTION device_sessions.tell_of(
    session device_sessions.sessions, kind text, more jsonb, event uuid DEFAULT pg_catalog.gen_random_uuid()
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO device_sessions.outbox (sink, lane, purpose, event_id, kind, user_id, session_id, details)
    SELECT sink.name, session.id, 'event', tell_of.event, tell_of.kind, session.user_id, session.id,
        device_sessions.details_of(session) || more
    FROM device_sessions.sinks AS sink
    WHERE tell_of.kind = ANY (sink.events) AND sink.until > statement_timestamp();
END
$$;

CREATE FUNCTION device_sessions.details_of(session device_sessions.sessions) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.jsonb_build_object('deviceName', session.device_name, 'deviceType', session.device_type,
        'ipAddress', pg_catalog.host(session.ip_address), 'location', session.location, 'countryCode', session.country_code)
$$;

CREATE FUNCTION device_sessions.tell_events() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ended device_sessions.sessions;
    how jsonb;
    target device_sessions.push_targets;
    end_event uuid := gen_random_uuid();  -- the same for the device and for everybody else
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- What is taken over from another system has not happened now.
        IF current_setting('device_sessions.quiet', true) IS DISTINCT FROM 'on' THEN
            PERFORM device_sessions.tell_of(NEW, 'session.created', '{}');
        END IF;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' AND NEW.ended_at IS NULL THEN
        IF OLD.pending AND NOT NEW.pending THEN
            PERFORM device_sessions.tell_of(NEW, 'session.created', '{}');
        ELSIF NOT NEW.pending THEN
            -- Who has proved anew who they are has not refreshed.
            IF NEW.generation > OLD.generation AND NEW.authenticated_at IS NOT DISTINCT FROM OLD.authenticated_at THEN
                PERFORM device_sessions.tell_of(NEW, 'session.refreshed', '{}');
            END IF;
            IF NEW.device_name <> OLD.device_name THEN
                PERFORM device_sessions.tell_of(NEW, 'session.renamed', '{}');
            END IF;
        END IF;
        RETURN NULL;
    ELSIF TG_OP = 'DELETE' THEN
        ended := OLD;
        ended.end_reason := 'revoked_by_admin';
        ended.ended_by := session_user;
    ELSIF OLD.ended_at IS NULL THEN
        ended := NEW;
    ELSE
        RETURN NULL;
    END IF;

    how := jsonb_strip_nulls(jsonb_build_object('reason', ended.end_reason, 'actor', ended.ended_by));
    IF NOT ended.pending THEN
        IF ended.end_reason = 'refresh_reuse' THEN
            PERFORM device_sessions.tell_of(ended, 'refresh.reuse', how);
        END IF;
        PERFORM device_sessions.tell_of(ended, 'session.ended', how, end_event);
    END IF;
    DELETE FROM device_sessions.push_targets WHERE session_id = ended.id RETURNING * INTO target;
    -- Not where the device knows or has forgotten by itself: it has logged out or signed in anew, or time has run out.
    IF target.session_id IS NOT NULL AND ended.end_reason NOT IN ('logout', 'replaced', 'idle', 'absolute') THEN
        INSERT INTO device_sessions.outbox
            (sink, lane, purpose, event_id, kind, user_id, session_id, details, provider, token)
        SELECT sink.name, ended.id, 'force_logout', end_event, 'session.ended', ended.user_id, ended.id,
            device_sessions.details_of(ended) || how, target.provider, target.token
        FROM device_sessions.sinks AS sink
        WHERE sink.push = target.provider AND sink.until > statement_timestamp();
    END IF;
    RETURN NULL;
END
$$;

-- What is not there any more cannot be told of, and its device must not be told of what comes.
CREATE FUNCTION device_sessions.forget_push_targets() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM device_sessions.push_targets;
    RETURN NULL;
END
$$;

-- Only the trigger, and so its owner, tells: nobody makes up what happened.
REVOKE EXECUTE ON FUNCTION device_sessions.tell_of FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION device_sessions.tell_events FROM PUBLIC;

CREATE TRIGGER tell_events_of_insert
    AFTER INSERT ON device_sessions.sessions
    FOR EACH ROW WHEN (NOT NEW.pending AND NEW.ended_at IS NULL)
    EXECUTE FUNCTION device_sessions.tell_events();
CREATE TRIGGER tell_events_of_update
    AFTER UPDATE OF ended_at, pending, generation, device_name ON device_sessions.sessions
    FOR EACH ROW WHEN ((OLD.ended_at, OLD.pending, OLD.generation, OLD.device_name)
        IS DISTINCT FROM (NEW.ended_at, NEW.pending, NEW.generation, NEW.device_name))
    EXECUTE FUNCTION device_sessions.tell_events();
CREATE TRIGGER tell_events_of_delete
    AFTER DELETE ON device_sessions.sessions
    FOR EACH ROW WHEN (OLD.ended_at IS NULL)
    EXECUTE FUNCTION device_sessions.tell_events();
CREATE TRIGGER forget_push_targets
    AFTER TRUNCATE ON device_sessions.sessions
    FOR EACH STATEMENT
    EXECUTE FUNCTION device_sessions.forget_push_targets();

-- Also where session_replication_role is set, as tools for bulk changes do.
ALTER TABLE device_sessions.sessions ENABLE ALWAYS TRIGGER tell_events_of_insert;
ALTER TABLE device_sessions.sessions ENABLE ALWAYS TRIGGER tell_events_of_update;
ALTER TABLE device_sessions.sessions ENABLE ALWAYS TRIGGER tell_events_of_delete;
ALTER TABLE device_sessions.sessions ENABLE ALWAYS TRIGGER forget_push_targets;

INSERT INTO device_sessions.migrations (version, name) VALUES (7, 'notices');
