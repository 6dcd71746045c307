//! Tables as large as those of a service with 200,000 users.

use tokio_postgres::Client;

/// A million rows: a thousand live ones of one user, twenty thousand ended ones of another, the rest spread over 200,000,
/// six in ten of them ended. The indexes are made last, as they are when a dump is restored.
pub(crate) async fn fill(db: &Client) {
    let sql = "
        SET synchronous_commit = off; SET maintenance_work_mem = '256MB';
        ALTER TABLE device_sessions.sessions DISABLE TRIGGER USER;
        CREATE TEMP TABLE indexes AS SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS make
            FROM pg_index WHERE indrelid = 'device_sessions.sessions'::regclass AND NOT indisprimary;
        DO $$ DECLARE one record; BEGIN
            FOR one IN SELECT name FROM indexes LOOP EXECUTE 'DROP INDEX ' || one.name; END LOOP; END $$;
        ALTER TABLE device_sessions.sessions DROP CONSTRAINT sessions_pkey;
        INSERT INTO device_sessions.sessions (id, user_id, created_at, last_activity_at, expires_at, ended_at,
            end_reason, device_name, device_type, ip_address, scrubbed)
        SELECT gen_random_uuid(), CASE WHEN heavy THEN 'heavy' WHEN ended AND n % 50 = 1 THEN 'past'
                ELSE 'user-' || n % 200000 END,
            now() - (30 + age) * interval '1 day', now() - age * interval '1 day', now() + (31 - age) * interval '1 day',
            CASE WHEN ended THEN now() - age * interval '1 day' END, CASE WHEN ended THEN 'logout' END,
            'Chrome on Windows', 'web', CASE WHEN ended AND age > 14 THEN NULL ELSE '203.0.113.7'::inet END,
            ended AND age > 14
        FROM (SELECT n, n <= 1000 AS heavy, n > 1000 AND n % 5 < 3 AS ended,
                CASE WHEN n > 1000 AND n % 5 < 3 THEN 29.9 ELSE 13.9 END * ((n::bigint * 7919) % 1000003) / 1000003 AS age
            FROM generate_series(1, 1000000) AS n) AS made;
        ALTER TABLE device_sessions.sessions ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);
        DO $$ DECLARE one record; BEGIN FOR one IN SELECT make FROM indexes LOOP EXECUTE one.make; END LOOP; END $$;
        ALTER TABLE device_sessions.sessions ENABLE TRIGGER USER;
        INSERT INTO device_sessions.devices (user_id, key, last_seen_at)
        SELECT CASE WHEN n <= 100 THEN 'heavy' ELSE 'user-' || n % 200000 END, sha256(n::text::bytea),
            now() - 399 * ((n::bigint * 7919) % 1000003) / 1000003 * interval '1 day' FROM generate_series(1, 400000) AS n;
        INSERT INTO device_sessions.countries (user_id, country_code, last_seen_at)
        SELECT 'user-' || n % 200000, CASE WHEN n > 200000 THEN 'DE' ELSE 'RU' END,
            now() - 179 * ((n::bigint * 7919) % 1000003) / 1000003 * interval '1 day' FROM generate_series(1, 400000) AS n;
        ANALYZE;";
    db.batch_execute(sql).await.unwrap();
}
