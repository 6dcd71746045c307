//! Delivers what the outbox holds. One task a node claims, and notes what became of it; each attempt is a task of its own, so
//! that nobody waits for a slow receiver: not the claims, not another receiver, and never a connection.

use std::{collections::HashMap, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::{self, JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use uuid::Uuid;

use super::{
    Deliver, Delivery, NotDelivered, Notifier, Undelivered,
    stream::{EventStream, Here, Readers},
};
use crate::{
    clock::{Clock, Tick, jittered},
    error::Error,
    event::{Message, Notice, Wants},
    store::{
        SessionStore,
        outbox::{Claimed, How, LINK_FOR, Purpose, Registration, STREAM, Settled},
    },
    telemetry,
    token::AlertLinks,
};

/// Somebody to tell.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) name: String,
    pub(crate) wants: Wants,
    pub(crate) notifier: Arc<dyn Deliver>,
}

/// Where links in mails lead, and what makes them.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) base: String,
    pub(crate) seal: Arc<AlertLinks>,
}

/// What the rest of the crate sees of it.
#[derive(Debug)]
pub(crate) struct Desk {
    /// Something has happened here.
    poke: Arc<Notify>,
    /// Something has happened somewhere, and most likely whoever did it tells of it.
    hint: Arc<Notify>,
    commands: mpsc::Sender<Command>,
    readers: Arc<Readers>,
    /// The providers whose devices can be reached.
    pub(crate) providers: Vec<String>,
}

#[derive(Debug)]
enum Command {
    /// Events are to be read in this process: answered when they are recorded for it.
    Listen(oneshot::Sender<Result<(), Error>>),
    /// Answered when what was under way has been settled.
    Stop(oneshot::Sender<()>),
}

impl Desk {
    /// There may be something to tell.
    pub(crate) fn poke(&self) {
        self.poke.notify_one();
    }

    /// To say that somebody else may have left something to tell: a hand in psql tells nothing by itself.
    pub(crate) fn hint(&self) -> Arc<Notify> {
        Arc::clone(&self.hint)
    }

    /// From now on, all events.
    pub(crate) async fn listen(&self) -> Result<EventStream, Error> {
        // Before it is registered, or it might be found unread.
        let stream = self.readers.add();
        let (reply, answer) = oneshot::channel();
        let stopped = || Error::unavailable(LISTENING, "shut down");
        self.commands.send(Command::Listen(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())??;
        Ok(stream)
    }

    /// Bounded by itself.
    pub(crate) async fn stop(&self) {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Stop(reply)).await.is_ok() {
            let _stopped_or_gone = answer.await;
        }
    }
}

pub(crate) struct Worker {
    store: Arc<dyn SessionStore>,
    sinks: Vec<Sink>,
    settings: Delivery,
    links: Option<Links>,
    clock: Clock,
    readers: Arc<Readers>,
    /// The name under which this process reads the events, while it does.
    stream: Option<String>,
    /// When each of the two kinds of registration has to be renewed.
    register_at: Instant,
    listen_at: Instant,
    /// Under way, by the task that delivers it.
    flying: JoinSet<Result<(), NotDelivered>>,
    flights: HashMap<task::Id, Flight>,
    settled: Vec<Settled>,
    paused: HashMap<String, Instant>,
    claimed_at: Instant,
    /// When to look next, if nothing else comes up.
    look_at: Instant,
}

struct Flight {
    seq: i64,
    attempt: u32,
    sink: String,
    purpose: Purpose,
    event: Uuid,
}

impl Worker {
    pub(crate) fn start(
        store: Arc<dyn SessionStore>,
        sinks: Vec<Sink>,
        settings: Delivery,
        links: Option<Links>,
        (clock, stop): (Clock, watch::Receiver<bool>),
    ) -> Desk {
        let (poke, hint, readers) = (Arc::<Notify>::default(), Arc::<Notify>::default(), Arc::<Readers>::default());
        let (sender, commands) = mpsc::channel(8);
        let providers = sinks.iter().filter_map(|sink| sink.wants.push.clone()).collect();
        let now = Instant::now();
        let worker = Self {
            store,
            sinks,
            settings,
            links,
            clock,
            readers: Arc::clone(&readers),
            stream: None,
            register_at: now + jittered(RENEW, 5),
            listen_at: now,
            flying: JoinSet::new(),
            flights: HashMap::new(),
            settled: Vec::new(),
            paused: HashMap::new(),
            claimed_at: now,
            look_at: now,
        };
        tokio::spawn(worker.run((Arc::clone(&poke), Arc::clone(&hint)), commands, stop));
        Desk { poke, hint, commands: sender, readers, providers }
    }

    /// Until it is told to stop, or nobody is left who could tell it.
    async fn run(
        mut self,
        (poke, hint): (Arc<Notify>, Arc<Notify>),
        mut commands: mpsc::Receiver<Command>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            self.renew().await;
            if self.look_at <= Instant::now() {
                self.claim().await;
            }
            let next = self.look_at.min(self.register_at).min(self.listen_at);
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Listen(reply)) => {
                        let _caller_gone = reply.send(self.listen().await);
                    }
                    Some(Command::Stop(reply)) => {
                        self.finish().await;
                        let _caller_gone = reply.send(());
                        return;
                    }
                    None => return self.finish().await,
                },
                // The last handle is gone without a word.
                () = gone(&mut stop) => return self.finish().await,
                () = poke.notified() => self.look_at = self.look_at.min(self.claimed_at + GAP),
                () = hint.notified() => self.look_at = self.look_at.min(self.claimed_at + jittered(HINTED_GAP, 2)),
                Some(landed) = self.flying.join_next_with_id() => {
                    self.land(landed);
                    // Whatever else has arrived, with it.
                    while let Some(landed) = self.flying.try_join_next_with_id() {
                        self.land(landed);
                    }
                    self.settle().await;
                    // Found while there was something to tell: nothing more is to be written for them.
                    if self.stream.is_some() && !self.readers.are_there() {
                        self.listen_at = Instant::now();
                    }
                    // What shared its lane may go now.
                    self.look_at = self.look_at.min(self.claimed_at + GAP);
                }
                () = sleep_until(next) => {}
            }
        }
    }

    /// Says who is to be told, before that lapses: `register` was the first time.
    async fn renew(&mut self) {
        let now = Instant::now();
        if self.register_at <= now {
            self.register_at = now + jittered(RENEW, 5);
            let own = self.sinks.iter().filter(|sink| Some(&sink.name) != self.stream.as_ref());
            if let Err(error) = register(&*self.store, own).await {
                self.register_at = now + jittered(AGAIN, 2);
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot register who is to be told");
            }
        }
        if self.listen_at <= now {
            self.listen_at = now + LISTEN_AGAIN;
            if let Some(stream) = self.stream.clone() {
                let renewed = match self.readers.are_there() {
                    true => self.store.register(vec![self.registration(stream)]).await,
                    false => self.listen_no_more(&stream).await,
                };
                if let Err(error) = renewed {
                    self.listen_at = now + jittered(AGAIN, 2);
                    tracing::debug!(error = &error as &dyn std::error::Error, "cannot renew the stream of events");
                }
            }
        }
    }

    fn registration(&self, stream: String) -> Registration {
        Registration::new(stream, Notifier::wants(&Here(Arc::clone(&self.readers))), LISTENS_FOR)
    }

    async fn listen(&mut self) -> Result<(), Error> {
        let name = self.stream.clone().unwrap_or_else(|| format!("{STREAM}{}", Uuid::now_v7().simple()));
        self.store.register(vec![self.registration(name.clone())]).await?;
        if self.stream.is_none() {
            let notifier: Arc<dyn Deliver> = Arc::new(Here(Arc::clone(&self.readers)));
            self.sinks.push(Sink { name: name.clone(), wants: notifier.wants(), notifier });
            self.stream = Some(name);
        }
        self.look_at = Instant::now();
        self.listen_at = Instant::now() + LISTEN_AGAIN;
        Ok(())
    }

    async fn listen_no_more(&mut self, stream: &str) -> Result<(), Error> {
        self.store.unregister(stream).await?;
        self.sinks.retain(|sink| sink.name != stream);
        self.stream = None;
        Ok(())
    }

    /// As many as may be under way, and off they go.
    async fn claim(&mut self) {
        let now = Instant::now();
        self.claimed_at = now;
        self.look_at = now + if self.sinks.is_empty() { RENEW } else { jittered(POLL, 5) };
        self.paused.retain(|_, until| *until > now);
        self.look_at = self.paused.values().copied().fold(self.look_at, Instant::min);
        let room = |sink: &Sink| {
            let busy = self.flights.values().filter(|flight| flight.sink == sink.name).count();
            (sink.name.clone(), self.settings.at_once.saturating_sub(busy))
        };
        let free = self.sinks.iter().filter(|sink| !self.paused.contains_key(&sink.name)).map(room);
        let wanted: Vec<_> = free.filter(|(_, room)| *room > 0).collect();
        if wanted.is_empty() {
            return;
        }
        // What has arrived is noted before it could be claimed again.
        self.settle().await;
        let asked = self.clock.tick();
        match self.store.claim(wanted, self.settings.lease()).await {
            Ok(claimed) => claimed.into_iter().for_each(|one| self.send(one, asked)),
            Err(error) => {
                self.look_at = now + jittered(AGAIN, 2);
                tracing::debug!(error = &error as &dyn std::error::Error, "cannot claim what is to be told");
            }
        }
        self.settle().await;
    }

    fn send(&mut self, claimed: Claimed, asked: Tick) {
        let Claimed { seq, sink, notice_id, event, purpose, attempt } = claimed;
        // It has arrived, and could not be noted for longer than its lease: that is still to come.
        let has_arrived =
            |settled: &Settled| settled.seq == seq && matches!(settled.how, How::Delivered | How::Gone(_));
        if self.settled.iter().any(has_arrived) {
            return;
        }
        if attempt > self.settings.attempts.saturating_add(DEATHS) {
            tracing::warn!(%sink, event = %event.id, attempt, "its process has died at it each time: not tried again");
            let how = How::Dead { why: "nobody has noted what became of it".to_owned() };
            telemetry::notice(how.as_label());
            return self.settled.push(Settled { seq, attempt, how });
        }
        let known = self.sinks.iter().find(|known| known.name == sink).map(|known| Arc::clone(&known.notifier));
        // Most of the lease may be over, after a suspend say: somebody else will have it, and then what comes after it.
        let left = self.settings.lease().saturating_sub(self.clock.tick().since(asked));
        let Some(notifier) = known.filter(|_| left > self.settings.timeout) else {
            return self.settled.push(Settled { seq, attempt, how: How::Released });
        };
        let message = self.message(&purpose, event.at);
        let flight = Flight { seq, attempt, sink, purpose, event: event.id };
        let notice = Notice { id: notice_id, event, message, attempt };
        let bound = self.settings.timeout;
        let task = self.flying.spawn(async move {
            let delivered = timeout(bound, notifier.deliver(&notice)).await;
            delivered.unwrap_or_else(|_late| Err(NotDelivered::retry(format!("no answer within {bound:?}"))))
        });
        self.flights.insert(task.id(), flight);
    }

    fn message(&self, purpose: &Purpose, at: OffsetDateTime) -> Message {
        match purpose {
            Purpose::Event => Message::Event,
            Purpose::ForceLogout(target) => Message::ForceLogout { target: target.clone() },
            Purpose::NewLogin(target) => Message::NewLogin { target: target.clone() },
            Purpose::Mail { alert } => {
                let until = at.saturating_add(LINK_FOR.try_into().unwrap_or(time::Duration::WEEK));
                // One that comes too late would only lead to a page that says so.
                let links = self.links.as_ref().filter(|_| self.clock.wall() < until);
                let link = |links: &Links| format!("{}/{}", links.base, links.seal.make(*alert, until));
                Message::NewLoginMail { disown_url: links.map(link) }
            }
        }
    }

    /// One attempt is over.
    fn land(&mut self, landed: Result<(task::Id, Result<(), NotDelivered>), JoinError>) {
        let (id, result) = match landed {
            Ok(landed) => landed,
            Err(failed) => (failed.id(), Err(NotDelivered::retry("the notifier panicked"))),
        };
        let Some(Flight { seq, attempt, sink, purpose, event }) = self.flights.remove(&id) else { return };
        let how = match result {
            Ok(()) => How::Delivered,
            Err(NotDelivered { what, cause }) => {
                let why = why(&*cause);
                match (what, purpose.target()) {
                    (Undelivered::Gone, Some(target)) => How::Gone(target.clone()),
                    (Undelivered::Retry { after }, _) => {
                        let wish = after.map(|wish| wish.min(LONGEST_WISH));
                        if let Some(wish) = wish {
                            // The longest of those that are under way at once.
                            let until = self.paused.entry(sink.clone()).or_insert_with(Instant::now);
                            *until = (*until).max(Instant::now() + wish);
                            self.look_at = self.look_at.min(Instant::now() + wish);
                        }
                        match self.settings.pause_after(attempt) {
                            Some(pause) => How::Again { after: wish.map_or(pause, |wish| wish.max(pause)), why },
                            None => How::Dead { why },
                        }
                    }
                    (Undelivered::Refused | Undelivered::Gone, _) => How::Dead { why },
                }
            }
        };
        match &how {
            How::Again { after, why } => {
                tracing::info!(%sink, %event, attempt, %why, again_in = ?after, "not delivered");
            }
            How::Dead { why } => tracing::warn!(%sink, %event, attempt, %why, "not delivered, and not tried again"),
            How::Gone(_) => tracing::debug!(%sink, %event, "the device is not there any more"),
            How::Delivered | How::Released => {}
        }
        telemetry::notice(how.as_label());
        self.settled.push(Settled { seq, attempt, how });
    }

    /// Notes what became of it. Where that fails it is kept for the next time; where that never comes, it is delivered again.
    async fn settle(&mut self) {
        if self.settled.is_empty() {
            return;
        }
        let settled = std::mem::take(&mut self.settled);
        if let Err(error) = self.store.settle(settled.clone()).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot note what has been told; will try again");
            self.settled = settled;
            self.look_at = self.look_at.min(Instant::now() + jittered(AGAIN, 2));
            return;
        }
        // From when it was noted: that is when the pause has begun.
        let pause = |settled: &Settled| match &settled.how {
            How::Again { after, .. } => Some(*after),
            _ => None,
        };
        if let Some(pause) = settled.iter().filter_map(pause).min() {
            self.look_at = self.look_at.min(Instant::now() + pause + GAP);
        }
    }

    /// What is under way gets a moment; what does not make it is tried again by somebody else.
    async fn finish(mut self) {
        let until = Instant::now() + FINISHING;
        let all = async {
            while let Some(landed) = self.flying.join_next_with_id().await {
                self.land(landed);
            }
        };
        let _late = tokio::time::timeout_at(until, all).await;
        self.flying.abort_all();
        for (_, Flight { seq, attempt, .. }) in self.flights.drain() {
            let how = How::Again { after: self.settings.first_retry, why: "the node was stopped".to_owned() };
            self.settled.push(Settled { seq, attempt, how });
        }
        let _late = timeout(FINISHING, self.settle()).await;
        if let Some(stream) = self.stream.take() {
            let _late = timeout(FINISHING, self.store.unregister(&stream)).await;
        }
        self.readers.close();
    }
}

/// From now on these are told, whichever node it happens on.
pub(crate) async fn register(store: &dyn SessionStore, sinks: impl Iterator<Item = &Sink>) -> Result<(), Error> {
    let lasts = |sink: &Sink| Registration::new(sink.name.clone(), sink.wants.clone(), REGISTERED_FOR);
    let sinks: Vec<_> = sinks.map(lasts).collect();
    if sinks.is_empty() { Ok(()) } else { store.register(sinks).await }
}

async fn gone(stop: &mut watch::Receiver<bool>) {
    let _gone = stop.wait_for(|_| false).await;
}

/// A text for the log, of the whole chain and not too long.
fn why(cause: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(cause), |cause| cause.source());
    let text = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    // No NUL: Postgres has none in text.
    text.chars().filter(|c| *c != '\0').take(500).collect()
}

const LISTENING: &str = "listening to events";
/// A fleet that is down for the weekend misses nothing.
const REGISTERED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const RENEW: Duration = Duration::from_secs(60 * 60);
/// What a process reads for itself is of no use to anybody when it is gone.
const LISTENS_FOR: Duration = Duration::from_secs(60);
const LISTEN_AGAIN: Duration = Duration::from_secs(15);
/// What other nodes leave behind, or a hand in psql; what happens here is told at once.
const POLL: Duration = Duration::from_secs(5);
/// Between two claims, so that a crowd that signs in costs few.
const GAP: Duration = Duration::from_millis(20);
/// The same, for what another node has most likely told of by then.
const HINTED_GAP: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_secs(1);
/// So many attempts may end with the process, which says nothing against the notice, until it is said to be what kills it.
const DEATHS: u32 = 3;
const LONGEST_WISH: Duration = Duration::from_secs(60 * 60);
/// For each of the three steps of stopping: three times this is less than a server that is being stopped is given.
const FINISHING: Duration = Duration::from_millis(600);
