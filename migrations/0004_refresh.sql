-- Refresh: counters and times, and nothing from which a token could be made (see src/token/refresh/rule.rs).

ALTER TABLE device_sessions.sessions
    ADD COLUMN generation        bigint NOT NULL DEFAULT 1,      -- the current token pair
    ADD COLUMN root              bigint,                         -- the one first consumed to make it; null if none was
    ADD COLUMN consumed_at       timestamptz,                    -- when that was
    ADD COLUMN handed_at         timestamptz,                    -- when the current pair was last handed out unseen
    ADD COLUMN seen              boolean NOT NULL DEFAULT false, -- the current pair has been used
    ADD COLUMN at_floor          bigint NOT NULL DEFAULT 1,      -- access tokens below are refused ..
    ADD COLUMN at_root           bigint,                         -- .. but for those of this generation
    ADD COLUMN broken_at         timestamptz,                    -- when the chain was last broken
    ADD COLUMN authenticated_at  timestamptz,                    -- null: when it was created
    ADD COLUMN claims            jsonb,                          -- the application's, for each new access token
    ADD CONSTRAINT sessions_rotation
        CHECK ((root IS NULL) = (consumed_at IS NULL) AND (root IS NULL) = (handed_at IS NULL));

-- Not with the column: that would write every row anew.
ALTER TABLE device_sessions.sessions ALTER COLUMN authenticated_at SET DEFAULT statement_timestamp();

-- What validation reads, anew. An ordinary refresh changes none of it, and tells nobody.
DROP TRIGGER tell_update ON device_sessions.sessions;
CREATE TRIGGER tell_update
    AFTER UPDATE OF id, user_id, expires_at, ended_at, device_name, metadata, at_floor, at_root, authenticated_at
    ON device_sessions.sessions
    FOR EACH ROW
    WHEN ((OLD.id, OLD.user_id, OLD.expires_at, OLD.ended_at, OLD.device_name, OLD.metadata,
           OLD.at_floor, OLD.at_root, OLD.authenticated_at)
          IS DISTINCT FROM
          (NEW.id, NEW.user_id, NEW.expires_at, NEW.ended_at, NEW.device_name, NEW.metadata,
           NEW.at_floor, NEW.at_root, NEW.authenticated_at))
    EXECUTE FUNCTION device_sessions.tell_change();
ALTER TABLE device_sessions.sessions ENABLE ALWAYS TRIGGER tell_update;

INSERT INTO device_sessions.migrations (version, name) VALUES (4, 'refresh');
