-- Sessions that have run out are ended, and those that ended long ago are scrubbed and then deleted: by one node at a
-- time, in small batches, off the request path.

-- Absolute expiry, the longest overdue first. Idle expiry has no index: it would have to hold last_activity_at.
CREATE INDEX sessions_live_by_expiry ON device_sessions.sessions (expires_at) WHERE ended_at IS NULL;

-- What a user looks back on, the newest end first.
CREATE INDEX sessions_ended_by_user ON device_sessions.sessions (user_id, ended_at DESC) WHERE ended_at IS NOT NULL;

-- Whether the address, the place and the User-Agent of an ended session are gone. A column of its own: an index that
-- names ip_address, in its predicate too, would end HOT updates.
ALTER TABLE device_sessions.sessions ADD COLUMN scrubbed boolean NOT NULL DEFAULT false;
CREATE INDEX sessions_ended_by_age ON device_sessions.sessions (scrubbed, ended_at) WHERE ended_at IS NOT NULL;

-- Where the walk over live rows stands, shared by all nodes: whoever comes next goes on there.
CREATE TABLE device_sessions.upkeep (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    at_user     text,  -- the last row looked at; null between two rounds
    at_id       uuid,
    round_done  timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO device_sessions.upkeep DEFAULT VALUES;

INSERT INTO device_sessions.migrations (version, name) VALUES (3, 'upkeep');
