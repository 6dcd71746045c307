//! Every statement that runs while serving, with the schema's name filled in once.

use super::{activity::ActivitySql, outbox_sql::OutboxSql};

/// What `row::session` reads, in its order, and the database's time at which it was read.
const COLUMNS: &str = "id, user_id, device_name, device_type, form_factor, os, os_version, browser, browser_version, model, \
    ip_address, location, country_code, latitude, longitude, accuracy_km, device_key, pending, \
    created_at, last_activity_at, expires_at, coalesce(authenticated_at, created_at) AS authenticated_at, \
    generation, seen, at_floor, at_root, claims, issuer, metadata, ended_at, end_reason, ended_by, \
    clock_timestamp() AS read_at";

/// What `row::tokens` reads besides.
const TOKENS: &str = "root, \
    CASE WHEN root IS NOT NULL THEN greatest(least(consumed_at, '9999-01-01Z'), '0001-01-01Z') END AS consumed_at, \
    CASE WHEN root IS NOT NULL THEN greatest(least(handed_at, '9999-01-01Z'), '0001-01-01Z') END AS handed_at, \
    CASE WHEN broken_at IS NOT NULL THEN greatest(least(broken_at, '9999-01-01Z'), '0001-01-01Z') END AS broken_at";

/// What is told of an end: see `COLUMNS`.
pub(super) const END: &str =
    "s.id, greatest(least(s.ended_at, '9999-01-01Z'), '0001-01-01Z') AS ended_at, s.end_reason, s.ended_by, s.pending";

#[derive(Debug)]
pub(super) struct Sql {
    schema: String,
    pub(super) activity: ActivitySql,
    pub(super) outbox: OutboxSql,
    pub(super) load_one: String,
    pub(super) load_many: String,
    pub(super) list: String,
    pub(super) insert: String,
    pub(super) end_one: String,
    pub(super) how_it_ended: String,
    pub(super) lock_user: String,
    pub(super) lock_live_rows: String,
    pub(super) end_these: String,
    pub(super) history: String,
    pub(super) end_in_order: String,
    pub(super) upkeep_turn: String,
    pub(super) upkeep_begin: String,
    pub(super) upkeep_moved: String,
    pub(super) expire_absolute: String,
    pub(super) live_page: String,
    pub(super) expire_idle: String,
    pub(super) scrub: String,
    pub(super) delete: String,
    pub(super) lock: String,
    pub(super) lock_free: String,
    pub(super) locked: String,
    pub(super) write_seen: String,
    pub(super) write_tokens: String,
    pub(super) lock_arriving: String,
    pub(super) known: String,
    pub(super) end_for: String,
    pub(super) complete: String,
    pub(super) held_before: String,
    pub(super) note_device: String,
    pub(super) note_country: String,
    pub(super) rename: String,
    pub(super) forget_devices: String,
    pub(super) forget_countries: String,
    pub(super) import: String,
}

impl Sql {
    /// `schema` is a plain lower-case name: checked where it is set.
    pub(super) fn new(schema: &str) -> Self {
        let table = format!("{schema}.sessions");
        Self {
            schema: schema.to_owned(),
            activity: ActivitySql::new(&table),
            outbox: OutboxSql::new(schema),
            load_one: format!("SELECT {COLUMNS} FROM {table} WHERE id = $1"),
            load_many: format!("SELECT {COLUMNS} FROM {table} WHERE id = ANY($1)"),
            list: format!(
                "SELECT {COLUMNS} FROM {table} WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()"
            ),
            insert: format!(
                "INSERT INTO {table} (id, user_id, expires_at, device_name, device_type, form_factor, os, os_version, \
                 browser, browser_version, model, user_agent, ip_address, metadata, issuer, claims, location, country_code, \
                 latitude, longitude, accuracy_km, device_key, pending, replaces, signals) \
                 VALUES ($1, $2, statement_timestamp() + $3 * interval '1 second', $4, $5, $6, $7, $8, $9, $10, $11, \
                 $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25) RETURNING {COLUMNS}"
            ),
            end_one: format!(
                "UPDATE {table} SET ended_at = clock_timestamp(), end_reason = $3, ended_by = $4 \
                 WHERE id = $1 AND ($2::text IS NULL OR user_id = $2) AND ended_at IS NULL \
                 RETURNING id, ended_at, end_reason, ended_by, pending"
            ),
            how_it_ended: format!(
                "SELECT CASE WHEN ended_at IS NOT NULL THEN greatest(least(ended_at, '9999-01-01Z'), '0001-01-01Z') END AS \
                 ended_at, end_reason, ended_by FROM {table} WHERE id = $1 AND ($2::text IS NULL OR user_id = $2)"
            ),
            lock_user: format!("SELECT pg_advisory_xact_lock(hashtextextended('{schema} user ' || $1, 0))::text"),
            lock_live_rows: format!(
                "SELECT id FROM {table} WHERE user_id = $1 AND ended_at IS NULL AND expires_at > clock_timestamp() \
                 ORDER BY id FOR NO KEY UPDATE"
            ),
            end_these: format!(
                "UPDATE {table} SET ended_at = clock_timestamp(), end_reason = $2, ended_by = $3 \
                 WHERE id = ANY($1) AND ended_at IS NULL RETURNING id, ended_at, end_reason, ended_by, pending"
            ),
            history: format!(
                "(SELECT {COLUMNS} FROM {table} WHERE user_id = $1 AND ended_at IS NOT NULL AND NOT pending \
                 AND ended_at >= statement_timestamp() - $3 * interval '1 second' \
                 ORDER BY sessions.ended_at DESC LIMIT $2) \
                 UNION ALL (SELECT {COLUMNS} FROM {table} WHERE user_id = $1 AND ended_at IS NULL AND NOT pending)"
            ),
            // Locked in the order of ids like all that wait for locks of several rows, so none waits in a circle.
            end_in_order: format!(
                "WITH held AS ( \
                    SELECT id FROM {table} WHERE id = ANY($1) AND ended_at IS NULL ORDER BY id FOR NO KEY UPDATE \
                 ) UPDATE {table} s SET ended_at = clock_timestamp(), end_reason = $2, ended_by = $3 \
                 FROM held WHERE s.id = held.id RETURNING {END}"
            ),
            upkeep_turn: format!(
                "SELECT pg_try_advisory_xact_lock(hashtextextended('{schema} upkeep', 0)) AS ours, at_user, at_id, \
                 at_id IS NOT NULL OR round_done <= statement_timestamp() - $1 * interval '1 second' AS due \
                 FROM {schema}.upkeep"
            ),
            // Somebody has emptied the tables.
            upkeep_begin: format!("INSERT INTO {schema}.upkeep DEFAULT VALUES ON CONFLICT DO NOTHING"),
            upkeep_moved: format!(
                "UPDATE {schema}.upkeep SET at_user = $1, at_id = $2, \
                 round_done = CASE WHEN $2::uuid IS NULL THEN statement_timestamp() ELSE round_done END"
            ),
            // What runs out is ended as of the moment at which it ran out, by whichever limit came first. Rows that
            // somebody holds come next time.
            expire_absolute: format!(
                "WITH due AS ( \
                    SELECT id FROM {table} WHERE ended_at IS NULL AND expires_at <= statement_timestamp() \
                    ORDER BY expires_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED \
                 ) UPDATE {table} s SET \
                    ended_at = CASE WHEN s.last_activity_at + ($1 + $2) * interval '1 second' < s.expires_at \
                        THEN s.last_activity_at + $1 * interval '1 second' ELSE s.expires_at END, \
                    end_reason = CASE WHEN s.last_activity_at + ($1 + $2) * interval '1 second' < s.expires_at \
                        THEN 'idle' ELSE 'absolute' END \
                 FROM due WHERE s.id = due.id RETURNING {END}"
            ),
            live_page: format!(
                "SELECT user_id, id, last_activity_at <= statement_timestamp() - ($1 + $2) * interval '1 second' AS due \
                 FROM {table} WHERE ended_at IS NULL AND (user_id, id) > ($3, $4) ORDER BY user_id, id LIMIT $5"
            ),
            // Looked at again under the lock: it may have been seen since.
            expire_idle: format!(
                "WITH due AS ( \
                    SELECT id FROM {table} WHERE id = ANY($3) AND ended_at IS NULL \
                    AND last_activity_at <= statement_timestamp() - ($1 + $2) * interval '1 second' \
                    FOR NO KEY UPDATE SKIP LOCKED \
                 ) UPDATE {table} s SET ended_at = s.last_activity_at + $1 * interval '1 second', end_reason = 'idle' \
                 FROM due WHERE s.id = due.id RETURNING {END}"
            ),
            scrub: format!(
                "WITH due AS ( \
                    SELECT id FROM {table} WHERE NOT scrubbed AND ended_at IS NOT NULL \
                    AND ended_at < statement_timestamp() - $1 * interval '1 second' \
                    AND (ended_at >= statement_timestamp() - $2 * interval '1 second' \
                        OR (issuer IS NOT NULL AND expires_at >= statement_timestamp())) \
                    ORDER BY ended_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED \
                 ) UPDATE {table} s SET ip_address = NULL, user_agent = NULL, location = NULL, country_code = NULL, \
                    latitude = NULL, longitude = NULL, accuracy_km = NULL, signals = NULL, scrubbed = true \
                 FROM due WHERE s.id = due.id RETURNING s.id"
            ),
            // The lock first and the row after it: a row read while waiting would be of before.
            lock: format!("SELECT FROM {table} WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE"),
            // For what can wait: a row that somebody holds must not hold up the rest.
            lock_free: format!("SELECT id FROM {table} WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"),
            locked: format!("SELECT {COLUMNS}, {TOKENS} FROM {table} WHERE id = ANY($1)"),
            write_seen: format!("UPDATE {table} SET seen = true WHERE id = ANY($1) AND ended_at IS NULL"),
            write_tokens: format!(
                "UPDATE {table} SET generation = $2, root = $3, consumed_at = $4, handed_at = $5, seen = $6, \
                 at_floor = $7, at_root = $8, broken_at = $9, \
                 authenticated_at = CASE WHEN $10 THEN clock_timestamp() ELSE authenticated_at END \
                 WHERE id = $1 AND ended_at IS NULL"
            ),
            // The order keeps it on the index also where most of the table is due.
            delete: format!(
                "WITH due AS ( \
                    SELECT id FROM {table} WHERE scrubbed = ANY ('{{false,true}}') AND ended_at IS NOT NULL \
                    AND ended_at < statement_timestamp() - $1 * interval '1 second' \
                    AND (issuer IS NULL OR expires_at < statement_timestamp()) \
                    ORDER BY scrubbed, ended_at LIMIT $2 FOR UPDATE SKIP LOCKED \
                 ), gone AS ( \
                    DELETE FROM {table} s USING due WHERE s.id = due.id \
                    RETURNING s.id, s.user_id, s.device_key, s.last_activity_at, s.pending \
                 ), seen AS ( \
                    SELECT user_id, device_key AS key, max(last_activity_at) AS at FROM gone \
                    WHERE device_key IS NOT NULL AND NOT pending GROUP BY user_id, device_key \
                 ), held AS ( \
                    SELECT d.user_id, d.key, seen.at FROM {schema}.devices d JOIN seen USING (user_id, key) \
                    WHERE d.last_seen_at < seen.at FOR NO KEY UPDATE OF d SKIP LOCKED \
                 ), noted AS ( \
                    UPDATE {schema}.devices d SET last_seen_at = held.at FROM held \
                    WHERE (d.user_id, d.key) = (held.user_id, held.key) \
                 ) SELECT id FROM gone"
            ),
            // Each part by an index of its own: a service account may have a hundred thousand live sessions.
            lock_arriving: format!(
                "WITH wanted AS ( \
                    (SELECT id FROM {table} WHERE user_id = $1 AND ended_at IS NULL ORDER BY id DESC LIMIT $4) \
                    UNION SELECT id FROM {table} WHERE user_id = $1 AND device_key = $2 AND ended_at IS NULL \
                    UNION SELECT id FROM {table} WHERE user_id = $1 AND pending AND ended_at IS NULL \
                    UNION SELECT $3 \
                 ) SELECT s.id FROM {table} s JOIN wanted USING (id) \
                 WHERE s.user_id = $1 AND s.ended_at IS NULL AND s.expires_at > clock_timestamp() \
                 ORDER BY s.id FOR NO KEY UPDATE OF s"
            ),
            // No time at all is left out first: least() would make it the year 9999. OFFSET 0: else the newest device of
            // all that is this user's may be looked for from the newest of all on.
            known: format!(
                "SELECT (SELECT name FROM {schema}.devices WHERE user_id = $1 AND key = $2) AS name, \
                    EXISTS (SELECT FROM {schema}.devices WHERE user_id = $1 AND key = $2) AS known, \
                    EXISTS (SELECT FROM {schema}.devices WHERE user_id = $1) AS any, \
                    ARRAY (SELECT country_code FROM {schema}.countries WHERE user_id = $1 \
                        AND last_seen_at > statement_timestamp() - $3 * interval '1 second') AS countries, \
                    (SELECT max(greatest(least(at, '9999-01-01Z'), '0001-01-01Z')) FROM ( \
                        SELECT max(last_seen_at) AS at FROM \
                            (SELECT last_seen_at FROM {schema}.devices WHERE user_id = $1 OFFSET 0) AS own \
                        UNION ALL (SELECT CASE WHEN NOT pending THEN last_activity_at END FROM {table} \
                            WHERE user_id = $1 AND ended_at IS NULL ORDER BY id DESC LIMIT $4) \
                        UNION ALL (SELECT CASE WHEN NOT pending THEN last_activity_at END FROM {table} \
                            WHERE user_id = $1 AND ended_at IS NOT NULL ORDER BY sessions.ended_at DESC LIMIT $4) \
                    ) AS times WHERE at IS NOT NULL) AS last_seen_at, \
                    clock_timestamp() AS read_at"
            ),
            end_for: format!(
                "UPDATE {table} s SET ended_at = coalesce(doomed.at, clock_timestamp()), end_reason = doomed.reason, \
                    ended_by = CASE WHEN doomed.at IS NULL THEN $4 END \
                 FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS doomed (id, reason, at) \
                 WHERE s.id = doomed.id AND s.ended_at IS NULL RETURNING {END}"
            ),
            complete: format!(
                "UPDATE {table} SET pending = false, expires_at = statement_timestamp() + $2 * interval '1 second', \
                    last_activity_at = greatest(last_activity_at, statement_timestamp()), \
                    device_name = coalesce($3, device_name), replaces = NULL, signals = NULL \
                 WHERE id = $1 AND pending AND ended_at IS NULL"
            ),
            held_before: format!("SELECT replaces, signals FROM {table} WHERE id = $1"),
            note_device: format!(
                "WITH old AS ( \
                    SELECT user_id, key FROM {schema}.devices WHERE user_id = $1 AND key <> $2 \
                    ORDER BY last_seen_at DESC OFFSET $3 FOR UPDATE SKIP LOCKED \
                 ), gone AS ( \
                    DELETE FROM {schema}.devices d USING old WHERE (d.user_id, d.key) = (old.user_id, old.key) \
                 ) INSERT INTO {schema}.devices AS d (user_id, key) VALUES ($1, $2) \
                 ON CONFLICT (user_id, key) DO UPDATE SET last_seen_at = greatest(d.last_seen_at, statement_timestamp())"
            ),
            note_country: format!(
                "INSERT INTO {schema}.countries AS c (user_id, country_code) VALUES ($1, $2) \
                 ON CONFLICT (user_id, country_code) DO UPDATE SET last_seen_at = statement_timestamp()"
            ),
            rename: format!(
                "WITH renamed AS ( \
                    UPDATE {table} SET device_name = $3 \
                    WHERE id = $1 AND user_id = $2 AND ended_at IS NULL AND NOT pending \
                    AND expires_at > clock_timestamp() RETURNING * \
                 ), device AS ( \
                    UPDATE {schema}.devices d SET name = $3 FROM renamed \
                    WHERE d.user_id = renamed.user_id AND d.key = renamed.device_key \
                 ) SELECT {COLUMNS} FROM renamed"
            ),
            forget_devices: format!(
                "WITH old AS ( \
                    SELECT user_id, key FROM {schema}.devices d \
                    WHERE last_seen_at < statement_timestamp() - $1 * interval '1 second' \
                    AND NOT EXISTS (SELECT FROM {table} s WHERE s.user_id = d.user_id AND s.device_key = d.key \
                        AND s.ended_at IS NULL) \
                    ORDER BY last_seen_at LIMIT $2 FOR UPDATE SKIP LOCKED \
                 ) DELETE FROM {schema}.devices d USING old WHERE (d.user_id, d.key) = (old.user_id, old.key) \
                 RETURNING d.user_id"
            ),
            forget_countries: format!(
                "WITH old AS ( \
                    SELECT user_id, country_code FROM {schema}.countries \
                    WHERE last_seen_at < statement_timestamp() - $1 * interval '1 second' \
                    ORDER BY last_seen_at LIMIT $2 FOR UPDATE SKIP LOCKED \
                 ) DELETE FROM {schema}.countries c USING old \
                 WHERE (c.user_id, c.country_code) = (old.user_id, old.country_code) RETURNING c.user_id"
            ),
            // Nothing is of the future: it would be active, and live, for longer than it may.
            import: format!(
                "INSERT INTO {table} (id, user_id, created_at, last_activity_at, expires_at, authenticated_at, device_name, \
                    device_type, form_factor, os, os_version, browser, browser_version, model, user_agent, ip_address, \
                    metadata, claims) \
                 SELECT id, user_id, least(created, statement_timestamp()), least(active, statement_timestamp()), \
                    least(created, statement_timestamp()) + lifetime * interval '1 second', \
                    least(created, statement_timestamp()), name, kind, form, os, os_version, browser, browser_version, \
                    model, user_agent, ip, metadata, claims \
                 FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::float8[], $6::text[], \
                    $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], \
                    $15::inet[], $16::jsonb[], $17::jsonb[]) AS one (id, user_id, created, active, lifetime, name, kind, \
                    form, os, os_version, browser, browser_version, model, user_agent, ip, metadata, claims) \
                 ON CONFLICT (id) DO NOTHING RETURNING id"
            ),
        }
    }

    pub(super) fn schema(&self) -> &str {
        &self.schema
    }
}
