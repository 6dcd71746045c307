//! The statements of the outbox, with the schema's name filled in once.

use super::sql::END;

/// What `outbox::one` reads.
const COLUMNS: &str = "o.seq, o.sink, o.purpose, o.notice_id, o.event_id, o.kind, o.at, o.user_id, o.session_id, \
    o.details, o.provider, o.token, o.alert_id, o.attempts, o.dead_at, o.last_error";

#[derive(Debug)]
pub(super) struct OutboxSql {
    pub(super) register: String,
    pub(super) unregister: String,
    pub(super) forget_sink: String,
    pub(super) claim: String,
    pub(super) wait_behind: String,
    pub(super) delivered: String,
    pub(super) again: String,
    pub(super) wait_for_the_first: String,
    pub(super) release: String,
    pub(super) bury: String,
    pub(super) forget_targets: String,
    pub(super) dead_letters: String,
    pub(super) deliver_again: String,
    pub(super) lock_live: String,
    pub(super) lock_target: String,
    pub(super) forget_target: String,
    pub(super) set_target: String,
    pub(super) tell: String,
    pub(super) alert: String,
    pub(super) look_at_alert: String,
    pub(super) disown: String,
    pub(super) end_disowned: String,
    pub(super) forget_device: String,
    pub(super) tell_disowned: String,
    pub(super) forget_sinks: String,
    pub(super) forget_letters: String,
    pub(super) forget_dead_letters: String,
    pub(super) forget_alerts: String,
}

impl OutboxSql {
    #[expect(clippy::too_many_lines, reason = "one statement after the other")]
    pub(super) fn new(schema: &str) -> Self {
        let outbox = format!("{schema}.outbox");
        let sessions = format!("{schema}.sessions");
        Self {
            register: format!(
                "INSERT INTO {schema}.sinks AS s (name, events, push, mail, until) \
                 VALUES ($1, $2, $3, $4, statement_timestamp() + $5 * interval '1 second') \
                 ON CONFLICT (name) DO UPDATE SET events = excluded.events, push = excluded.push, \
                    mail = excluded.mail, until = greatest(s.until, excluded.until)"
            ),
            unregister: format!("DELETE FROM {schema}.sinks WHERE name = $1"),
            forget_sink: format!("DELETE FROM {outbox} WHERE sink = $1 AND dead_at IS NULL"),
            // For each sink by itself, so that one with a million due does not keep another waiting. The first of its lane
            // only: what comes after it waits until it is delivered or given up. What a newer version writes is its own.
            // A device that has become somebody else's meanwhile must not hear of the sign-in. One that was only signed out
            // does: or whoever signs in with a stolen password would sign the others out to keep them from being told.
            claim: format!(
                "WITH due AS ( \
                    SELECT picked.seq FROM unnest($1::text[], $2::int8[]) AS want (sink, room) CROSS JOIN LATERAL ( \
                        SELECT o.seq FROM {outbox} o \
                        WHERE o.sink = want.sink AND o.dead_at IS NULL AND o.due_at <= statement_timestamp() \
                        AND o.kind = ANY ($4) AND o.purpose IN ('event', 'force_logout', 'new_login', 'mail') \
                        AND NOT EXISTS (SELECT FROM {outbox} p WHERE p.sink = o.sink AND p.lane = o.lane \
                            AND p.dead_at IS NULL AND p.seq < o.seq) \
                        ORDER BY o.due_at LIMIT want.room FOR UPDATE OF o SKIP LOCKED \
                    ) AS picked \
                 ) UPDATE {outbox} o SET attempts = least(o.attempts, 1000000) + 1, \
                    due_at = statement_timestamp() + $3 * interval '1 second' \
                 FROM due WHERE o.seq = due.seq RETURNING {COLUMNS}, \
                    o.purpose = 'new_login' AND o.user_id <> (SELECT s.user_id FROM {sessions} s WHERE s.id = ( \
                        SELECT t.session_id FROM {schema}.push_targets t \
                        WHERE t.provider = o.provider AND t.token = o.token)) AS is_somebody_elses"
            ),
            // What has come since behind one that waits for another attempt: it cannot go before that, and would be passed
            // over by each claim. One that is under way may be delivered at any moment; two minutes are longer than any
            // delivery.
            wait_behind: format!(
                "WITH behind AS ( \
                    SELECT due.seq, first.due_at FROM unnest($1::text[]) AS want (sink) CROSS JOIN LATERAL ( \
                        SELECT o.seq, o.lane FROM {outbox} o \
                        WHERE o.sink = want.sink AND o.dead_at IS NULL AND o.due_at <= statement_timestamp() \
                        ORDER BY o.due_at LIMIT 2000 FOR UPDATE OF o SKIP LOCKED \
                    ) AS due CROSS JOIN LATERAL ( \
                        SELECT p.due_at FROM {outbox} p \
                        WHERE p.sink = want.sink AND p.lane = due.lane AND p.dead_at IS NULL ORDER BY p.seq LIMIT 1 \
                    ) AS first WHERE first.due_at > statement_timestamp() + interval '2 minutes' \
                 ) UPDATE {outbox} o SET due_at = behind.due_at FROM behind WHERE o.seq = behind.seq"
            ),
            delivered: format!("DELETE FROM {outbox} WHERE seq = ANY ($1)"),
            // Unless somebody else has claimed it since, this node having been too slow.
            again: format!(
                "UPDATE {outbox} o SET due_at = statement_timestamp() + w.pause * interval '1 second', \
                    last_error = w.why \
                 FROM unnest($1::int8[], $2::int4[], $3::float8[], $4::text[]) AS w (seq, attempts, pause, why) \
                 WHERE o.seq = w.seq AND o.attempts = w.attempts AND o.dead_at IS NULL"
            ),
            // They could not go before it, and are not to be looked at until it can.
            wait_for_the_first: format!(
                "UPDATE {outbox} o SET due_at = first.due_at FROM {outbox} first \
                 WHERE first.seq = ANY ($1) AND first.dead_at IS NULL AND o.sink = first.sink AND o.lane = first.lane \
                 AND o.dead_at IS NULL AND o.seq > first.seq AND o.due_at < first.due_at"
            ),
            release: format!(
                "UPDATE {outbox} o SET due_at = statement_timestamp(), attempts = o.attempts - 1 \
                 FROM unnest($1::int8[], $2::int4[]) AS w (seq, attempts) \
                 WHERE o.seq = w.seq AND o.attempts = w.attempts AND o.dead_at IS NULL"
            ),
            bury: format!(
                "UPDATE {outbox} o SET dead_at = statement_timestamp(), last_error = w.why \
                 FROM unnest($1::int8[], $2::int4[], $3::text[]) AS w (seq, attempts, why) \
                 WHERE o.seq = w.seq AND w.attempts IN (0, o.attempts) AND o.dead_at IS NULL"
            ),
            // Whoever holds one of them deletes it, or has just been told that it is there again.
            forget_targets: format!(
                "WITH gone AS ( \
                    SELECT t.session_id FROM {schema}.push_targets t \
                    JOIN unnest($1::text[], $2::text[]) AS gone (provider, token) USING (provider, token) \
                    FOR UPDATE OF t SKIP LOCKED \
                 ) DELETE FROM {schema}.push_targets t USING gone WHERE t.session_id = gone.session_id"
            ),
            dead_letters: format!(
                "SELECT {COLUMNS} FROM {outbox} o WHERE o.dead_at IS NOT NULL AND o.seq > $1 ORDER BY o.seq LIMIT $2"
            ),
            deliver_again: format!(
                "UPDATE {outbox} SET dead_at = NULL, attempts = 0, due_at = statement_timestamp(), last_error = NULL, \
                    created_at = statement_timestamp() \
                 WHERE seq = ANY ($1) AND dead_at IS NOT NULL RETURNING seq"
            ),
            // Written and not just locked: an end by a transaction that began before this one (REPEATABLE READ) would not see
            // the target, and is refused instead.
            lock_live: format!(
                "UPDATE {sessions} SET seen = seen WHERE id = $1 AND ended_at IS NULL AND NOT pending \
                 AND expires_at > clock_timestamp() RETURNING id"
            ),
            // Two sessions that say at once that the device is theirs: one after the other.
            lock_target: format!(
                "SELECT pg_advisory_xact_lock(hashtextextended('{schema} push target ' || $1 || ' ' || $2, 0))::text"
            ),
            // This session's, and wherever else the same device was known: nobody gets what is for somebody who signed
            // out of the app before them. In the order of the key, so that no two of these wait in a circle.
            forget_target: format!(
                "WITH old AS ( \
                    SELECT session_id FROM {schema}.push_targets \
                    WHERE session_id = $1 OR (provider = $2 AND token = $3) ORDER BY session_id FOR UPDATE \
                 ) DELETE FROM {schema}.push_targets t USING old WHERE t.session_id = old.session_id"
            ),
            set_target: format!("INSERT INTO {schema}.push_targets (session_id, provider, token) VALUES ($1, $2, $3)"),
            tell: format!(
                "INSERT INTO {outbox} (sink, lane, purpose, event_id, kind, user_id, session_id, details) \
                 SELECT k.name, s.id, 'event', $4, $2, s.user_id, s.id, {schema}.details_of(s) || $3 \
                 FROM {schema}.sinks k CROSS JOIN {sessions} s \
                 WHERE s.id = $1 AND $2 = ANY (k.events) AND k.until > statement_timestamp()"
            ),
            // Not again for the same device (or what looks like it, where it cannot be known), nor too often. Each device
            // and each person has a lane of their own: none waits for another.
            alert: format!(
                "WITH arrived AS ( \
                    SELECT s.*, {schema}.details_of(s) AS details FROM {sessions} s WHERE s.id = $1 \
                 ), recent AS ( \
                    SELECT count(*) FILTER (WHERE a.created_at > statement_timestamp() - interval '1 hour') AS in_an_hour, \
                        coalesce(bool_or(a.disowned_at IS NULL AND a.device_key IS NOT DISTINCT FROM n.device_key \
                            AND (a.device_key IS NOT NULL OR a.details = n.details)), false) AS told \
                    FROM arrived n JOIN {schema}.alerts a ON a.user_id = n.user_id \
                        AND a.created_at > statement_timestamp() - interval '1 day' \
                 ), due AS ( \
                    SELECT n.* FROM arrived n, recent WHERE in_an_hour < $5 AND NOT told \
                    AND EXISTS (SELECT FROM {schema}.sinks k \
                        WHERE (k.push IS NOT NULL OR k.mail) AND k.until > statement_timestamp()) \
                 ), noted AS ( \
                    INSERT INTO {schema}.alerts (id, user_id, session_id, device_key, details) \
                    SELECT $4, user_id, id, device_key, details FROM due \
                 ) INSERT INTO {outbox} \
                    (sink, lane, purpose, event_id, kind, user_id, session_id, details, provider, token, alert_id) \
                 SELECT k.name, gen_random_uuid(), 'new_login', $3, 'login.new_device', due.user_id, due.id, \
                    due.details || $2, t.provider, t.token, $4 \
                 FROM due JOIN {sessions} other ON other.user_id = due.user_id AND other.id <> due.id \
                    AND other.ended_at IS NULL AND NOT other.pending AND other.expires_at > clock_timestamp() \
                 JOIN {schema}.push_targets t ON t.session_id = other.id \
                 JOIN {schema}.sinks k ON k.push = t.provider AND k.until > statement_timestamp() \
                 UNION ALL \
                 SELECT k.name, gen_random_uuid(), 'mail', $3, 'login.new_device', due.user_id, due.id, \
                    due.details || $2, NULL, NULL, $4 \
                 FROM due JOIN {schema}.sinks k ON k.mail AND k.until > statement_timestamp()"
            ),
            look_at_alert: format!(
                "SELECT id AS event_id, 'login.new_device' AS kind, created_at AS at, user_id, session_id, details, \
                    disowned_at IS NOT NULL AS disowned \
                 FROM {schema}.alerts WHERE id = $1"
            ),
            disown: format!(
                "UPDATE {schema}.alerts SET disowned_at = clock_timestamp() WHERE id = $1 AND disowned_at IS NULL \
                 RETURNING user_id, session_id"
            ),
            // And what its device has become since: whoever it was has signed in there again, which nobody is told of.
            end_disowned: format!(
                "WITH held AS ( \
                    SELECT s.id FROM {sessions} s WHERE s.user_id = $2 AND s.ended_at IS NULL \
                    AND (s.id = $1 OR s.device_key = (SELECT device_key FROM {schema}.alerts WHERE id = $3)) \
                    ORDER BY s.id FOR NO KEY UPDATE \
                 ) UPDATE {sessions} s SET ended_at = clock_timestamp(), end_reason = 'revoked_by_alert', \
                    ended_by = 'the alert' \
                 FROM held WHERE s.id = held.id RETURNING {END}"
            ),
            forget_device: format!(
                "DELETE FROM {schema}.devices d USING {schema}.alerts a \
                 WHERE a.id = $1 AND d.user_id = a.user_id AND d.key = a.device_key"
            ),
            tell_disowned: format!(
                "INSERT INTO {outbox} (sink, lane, purpose, event_id, kind, user_id, session_id, details) \
                 SELECT k.name, a.session_id, 'event', a.id, $2, a.user_id, a.session_id, a.details \
                 FROM {schema}.sinks k CROSS JOIN {schema}.alerts a \
                 WHERE a.id = $1 AND $2 = ANY (k.events) AND k.until > statement_timestamp()"
            ),
            forget_sinks: format!("DELETE FROM {schema}.sinks WHERE until <= statement_timestamp() RETURNING name"),
            forget_letters: forget_letters(&outbox, "dead_at IS NULL"),
            forget_dead_letters: forget_letters(&outbox, "dead_at IS NOT NULL"),
            forget_alerts: format!(
                "WITH old AS ( \
                    SELECT id FROM {schema}.alerts WHERE created_at < statement_timestamp() - $1 * interval '1 second' \
                    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED \
                 ) DELETE FROM {schema}.alerts a USING old WHERE a.id = old.id RETURNING a.id"
            ),
        }
    }
}

fn forget_letters(outbox: &str, which: &str) -> String {
    format!(
        "WITH old AS ( \
            SELECT seq FROM {outbox} WHERE {which} AND created_at < statement_timestamp() - $1 * interval '1 second' \
            ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED \
         ) DELETE FROM {outbox} o USING old WHERE o.seq = old.seq RETURNING o.seq"
    )
}
