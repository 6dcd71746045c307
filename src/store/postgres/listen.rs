//! Being told what others change, and knowing how far one has been told.
//!
//! Two connections of our own, never from the pool and never through a pooler in transaction mode. One listens. Over
//! the other goes a beat: a nonce, notified and committed. Postgres delivers notifications in the order of their
//! commits, so the beat that comes back says that everything committed before it was *sent* has been told.
//!
//! A `LISTEN` that seems to work proves nothing: behind a pooler it answers with success and stays deaf. Hence nothing
//! counts before the first beat has come back, and a beat that does not come back ends the connection, whatever the
//! cause: a dead network, a stopped backend, a listener that was told to `UNLISTEN`.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_postgres::{AsyncMessage, Client, Notification};

use super::{
    super::Change,
    primary::{Identity, Primary},
    transport::{Address, Messages},
};
use crate::clock::{Clock, Tick, jittered};

/// Listens, and says what it hears into a feed, until nobody takes from the feed any more.
pub(super) struct Listener {
    pub(super) address: Address,
    pub(super) schema: String,
    pub(super) clock: Clock,
    pub(super) max_staleness: Duration,
    pub(super) primary: Arc<Primary>,
    pub(super) feed: mpsc::Sender<Change>,
}

/// Why a connection is given up; for the log and for `Sessions::health()`.
#[derive(Debug)]
struct Lost {
    cause: String,
    /// What was told came from another server than what is read.
    elsewhere: bool,
}

impl<T: Into<String>> From<T> for Lost {
    fn from(cause: T) -> Self {
        Self { cause: cause.into(), elsewhere: false }
    }
}

impl Lost {
    fn elsewhere() -> Self {
        Self { cause: "the pool reaches another server or database than the listener".to_owned(), elsewhere: true }
    }
}

impl Listener {
    pub(super) async fn run(self) {
        let feed = self.feed.clone();
        tokio::select! {
            () = feed.closed() => {}
            () = self.listen_for_ever() => {}
        }
    }

    async fn listen_for_ever(&self) {
        let mut failures = 0_u32;
        let mut said = None;
        loop {
            let heard = &mut false;
            let lost = match self.listen(heard).await {
                Ok(never) => match never {},
                Err(lost) => lost,
            };
            self.primary.listener_is_gone();
            if *heard {
                (failures, said) = (0, None);
            }
            // Once for a cause, not once for an attempt.
            if said.as_deref() != Some(lost.cause.as_str()) {
                tracing::warn!(cause = lost.cause, "not told of changes: sessions are read again every max_staleness");
                said = Some(lost.cause.clone());
            }
            let change = Change::Lost { cause: lost.cause.into(), elsewhere: lost.elsewhere };
            if self.feed.send(change).await.is_err() {
                return;
            }
            failures = failures.saturating_add(1);
            let pause = LONGEST_PAUSE.min(SHORTEST_PAUSE * 2_u32.saturating_pow(failures.min(10)));
            sleep(jittered(pause, 2)).await;
        }
    }

    /// One pair of connections, from beginning to end. `heard` is set once a beat has come back.
    async fn listen(&self, heard: &mut bool) -> Result<std::convert::Infallible, Lost> {
        // Unpredictable, and this node's own.
        let beats = format!("{}_beat_{:016x}", self.schema, getrandom::u64().unwrap_or_default());
        let mouth = Mouth::connect(&self.address, &self.schema, &beats).await?;
        // First: a standby would refuse LISTEN with a riddle.
        let identity = Identity::read(&mouth.client).await?;
        self.must_have_triggers(&mouth.client).await?;
        let mut ear = Ear::connect(&self.address, &self.schema, beats).await?;
        if !self.primary.listener_is_at(identity) {
            return Err(Lost::elsewhere());
        }
        let pause = self.max_staleness / 3;
        let mut next_beat = Instant::now();
        let mut under_way: Option<Beat> = None;
        let mut sending = pin!(None);
        loop {
            let give_up = under_way.as_ref().map_or(next_beat, |beat| beat.give_up);
            tokio::select! {
                told = ear.next() => match understand(&told?, &ear.beats, under_way.as_ref()) {
                    Heard::Beat(sent) => {
                        if !std::mem::replace(heard, true) {
                            tracing::info!("told of changes by the database");
                            self.say(Change::Connected).await?;
                        }
                        self.say(Change::ToldUpTo(sent)).await?;
                        under_way = None;
                    }
                    Heard::Change(change) => self.say(change).await?,
                    Heard::Nothing => {}
                },
                sent = some(&mut sending) => {
                    sending.set(None);
                    sent?;
                }
                () = self.primary.differs() => return Err(Lost::elsewhere()),
                () = sleep_until(next_beat), if under_way.is_none() => {
                    let beat = Beat::new(self.clock.tick(), Instant::now() + self.max_staleness);
                    sending.set(Some(mouth.say(beat.nonce)));
                    next_beat = Instant::now() + pause;
                    under_way = Some(beat);
                }
                () = sleep_until(give_up), if under_way.is_some() => {
                    return Err(if *heard { SILENT } else { DEAF }.into());
                }
            }
        }
    }

    async fn say(&self, change: Change) -> Result<(), Lost> {
        self.feed.send(change).await.map_err(|_gone| "nobody listens to the listener".into())
    }

    async fn must_have_triggers(&self, client: &Client) -> Result<(), Lost> {
        let wanted = ["tell_update", "tell_delete", "tell_truncate"];
        let sql = format!(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = '{}.sessions'::regclass AND tgenabled = 'A'",
            self.schema
        );
        let found = within(client.simple_query(&sql)).await?;
        let names: Vec<_> = found
            .iter()
            .filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            })
            .collect();
        match wanted.iter().find(|name| !names.contains(*name)) {
            None => Ok(()),
            Some(missing) => Err(format!(
                "the trigger {missing} is missing or not ENABLE ALWAYS: see docs/database.md, \"Watching it\""
            )
            .into()),
        }
    }
}

enum Heard {
    Beat(Tick),
    Change(Change),
    Nothing,
}

fn understand(told: &Notification, beats: &str, under_way: Option<&Beat>) -> Heard {
    if told.channel() == beats {
        return match under_way {
            Some(beat) if told.payload().parse() == Ok(beat.nonce) => Heard::Beat(beat.sent),
            _ => Heard::Nothing,
        };
    }
    match told.payload().parse() {
        Ok(id) => Heard::Change(Change::Session(id)),
        // `*`, or something that we cannot read: anyone may notify, and trust is all that can be lost by it.
        Err(_) => Heard::Change(Change::Everything),
    }
}

/// A nonce under way.
struct Beat {
    nonce: u64,
    /// Before it was sent: what it proves is counted from here.
    sent: Tick,
    give_up: Instant,
}

impl Beat {
    fn new(sent: Tick, give_up: Instant) -> Self {
        // Unpredictable, so that nobody else's notification passes for it.
        Self { nonce: getrandom::u64().unwrap_or_else(|_| sent.as_nanos()), sent, give_up }
    }
}

/// The connection that listens.
struct Ear {
    messages: Messages,
    /// Kept: dropping the client ends the connection.
    _client: Client,
    /// The channel of this node's own beats.
    beats: String,
}

impl Ear {
    async fn connect(address: &Address, schema: &str, beats: String) -> Result<Self, Lost> {
        let (client, mut messages) = within(address.connect()).await?;
        let sql = format!("LISTEN {schema}_changes; LISTEN {beats}");
        {
            // Committed once its answer is here, which only polling brings. What is told meanwhile is of no concern:
            // no reading counts under this connection yet.
            let mut listening = pin!(within(client.batch_execute(&sql)));
            loop {
                tokio::select! {
                    done = &mut listening => break done?,
                    told = next(&mut messages) => drop(told?),
                }
            }
        }
        Ok(Self { messages, _client: client, beats })
    }

    async fn next(&mut self) -> Result<Notification, Lost> {
        next(&mut self.messages).await
    }
}

/// Polled no more after its end: a dead connection would answer with its error for ever.
async fn next(messages: &mut Messages) -> Result<Notification, Lost> {
    loop {
        match poll_fn(&mut *messages).await {
            Some(Ok(AsyncMessage::Notification(told))) => return Ok(told),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(describe(&error).into()),
            None => return Err("the server closed the listening connection".into()),
        }
    }
}

/// The connection that beats.
struct Mouth {
    client: Client,
    schema: String,
    beats: String,
    driver: JoinHandle<()>,
}

impl Mouth {
    async fn connect(address: &Address, schema: &str, beats: &str) -> Result<Self, Lost> {
        let (client, mut messages) = within(address.connect()).await?;
        let driver = tokio::spawn(async move { while let Some(Ok(_)) = poll_fn(&mut *messages).await {} });
        Ok(Self { client, schema: schema.to_owned(), beats: beats.to_owned(), driver })
    }

    /// A beat need not survive a crash of the server: a listener does not either.
    fn say(&self, nonce: u64) -> Pin<Box<dyn Future<Output = Result<(), Lost>> + Send + '_>> {
        let sql =
            format!("BEGIN; SET LOCAL synchronous_commit = off; SELECT pg_notify('{}', '{nonce}'); COMMIT", self.beats);
        Box::pin(async move {
            tracing::trace!(schema = self.schema, "beat");
            Ok(within(self.client.batch_execute(&sql)).await?)
        })
    }
}

impl Drop for Mouth {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Waits for what is there, and for ever where there is nothing.
async fn some<F: Future + Unpin>(future: &mut Pin<&mut Option<F>>) -> F::Output {
    match future.as_mut().as_pin_mut() {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

pub(super) async fn within<T>(work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, String> {
    match timeout(ANSWER, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(describe(&error)),
        Err(_) => Err("the database did not answer in time".into()),
    }
}

/// The driver's Display has the cause in it.
fn describe(error: &tokio_postgres::Error) -> String {
    error.to_string()
}

const ANSWER: Duration = Duration::from_secs(3);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const DEAF: &str = "LISTEN is deaf here, as behind a pooler in transaction mode: give `listen_url` a direct address";
const SILENT: &str = "the database fell silent: no beat came back within max_staleness";
