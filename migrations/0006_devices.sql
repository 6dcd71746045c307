-- Devices that a user has signed in on, whose names outlive their sessions; places; sessions whose second factor is still
-- to come.

CREATE TABLE device_sessions.devices (
    user_id        text NOT NULL,
    -- Of the id in the device's cookie, or that its app gives, together with the user's: nothing that could be shown again.
    key            bytea NOT NULL CHECK (octet_length(key) = 32),
    name           text,  -- what its owner calls it
    first_seen_at  timestamptz NOT NULL DEFAULT statement_timestamp(),
    last_seen_at   timestamptz NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX devices_by_age ON device_sessions.devices (last_seen_at);

-- Where a user has signed in from lately.
CREATE TABLE device_sessions.countries (
    user_id       text NOT NULL,
    country_code  text NOT NULL,
    last_seen_at  timestamptz NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY (user_id, country_code)
);
CREATE INDEX countries_by_age ON device_sessions.countries (last_seen_at);

ALTER TABLE device_sessions.sessions
    ADD COLUMN device_key   bytea,             -- of its row in devices; null where there is nothing to know it by
    ADD COLUMN pending      boolean NOT NULL DEFAULT false,
    ADD COLUMN replaces     uuid,              -- the session to end when this one is no longer pending
    ADD COLUMN latitude     double precision,  -- of the place of ip_address ..
    ADD COLUMN longitude    double precision,
    ADD COLUMN accuracy_km  integer;           -- .. which may be this much beside it

-- The earlier session of a device, and those whose second factor is still to come.
CREATE INDEX sessions_live_by_device ON device_sessions.sessions (user_id, device_key)
    WHERE ended_at IS NULL AND device_key IS NOT NULL;
CREATE INDEX sessions_pending ON device_sessions.sessions (user_id) WHERE pending AND ended_at IS NULL;

-- What validation reads, anew.
DROP TRIGGER tell_update ON device_sessions.sessions;
CREATE TRIGGER tell_update
    AFTER UPDATE OF id, user_id, expires_at, ended_at, device_name, metadata, at_floor, at_root, authenticated_at, pending
    ON device_sessions.sessions
    FOR EACH ROW
    WHEN ((OLD.id, OLD.user_id, OLD.expires_at, OLD.ended_at, OLD.device_name, OLD.metadata,
           OLD.at_floor, OLD.at_root, OLD.authenticated_at, OLD.pending)
          IS DISTINCT FROM
          (NEW.id, NEW.user_id, NEW.expires_at, NEW.ended_at, NEW.device_name, NEW.metadata,
           NEW.at_floor, NEW.at_root, NEW.authenticated_at, NEW.pending))
    EXECUTE FUNCTION device_sessions.tell_change();
ALTER TABLE device_sessions.sessions ENABLE ALWAYS TRIGGER tell_update;

INSERT INTO device_sessions.migrations (version, name) VALUES (6, 'devices');
