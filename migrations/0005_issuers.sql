-- Sessions of other issuers, registered here at first sight.

-- Whose; null for those that were signed in here. An ended one outlives the history: a token of it may still come.
ALTER TABLE device_sessions.sessions ADD COLUMN issuer text;

INSERT INTO device_sessions.migrations (version, name) VALUES (5, 'issuers');
