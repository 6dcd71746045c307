//! Tokens that are let in by what is in memory.

use std::cell::Cell;

use super::*;
use crate::{AccessTokens, MemoryStore, SignIn, VerifyingKey, store::EndTarget, token::NewToken};

struct Nobody;

impl Fields for Nobody {
    fn lines(&self, _name: &str) -> Vec<&[u8]> {
        Vec::new()
    }
}

impl Caller for Nobody {
    fn peer(&self) -> Option<IpAddr> {
        None
    }

    fn fields(&self) -> &dyn Fields {
        self
    }
}

async fn ask(sessions: &Sessions, token: &str) -> Verdict {
    match sessions.validate(token.as_bytes(), TokenUse::Access, false, || true, &Nobody) {
        Validation::Done(verdict) => verdict,
        Validation::Read(pending) => pending.finish(Instant::now() + super::super::ANSWER_WITHIN).await,
    }
}

/// Whether it stands in front, and whether it gets in by that.
fn in_front(sessions: &Sessions, token: &str) -> (bool, bool) {
    let is_there = sessions.0.front.find(token.as_bytes(), |_| true).is_some();
    (is_there, sessions.let_in_again(token.as_bytes(), TokenUse::Access, || false, &Nobody).is_some())
}

/// In one place or the other, so that it is checked once. The control: many have made room in front meanwhile, and would have
/// been forgotten.
#[tokio::test]
async fn a_token_is_remembered_once() {
    let tokens = AccessTokens::hs256("0123456789abcdefghijklmnopqrstuv").unwrap();
    let building = Sessions::builder(MemoryStore::new()).access_tokens(tokens).max_cached_sessions(128).build();
    let sessions = building.await.unwrap();
    let signed_in = sessions.sign_in(SignIn::new("lena")).await.unwrap();
    assert!(matches!(ask(&sessions, &signed_in.access_token).await, Verdict::Live(_)));
    let another = |_| {
        let keys = &sessions.0.key_set.load().keys;
        keys.sign(&NewToken {
            usage: TokenUse::Access,
            session_id: signed_in.session.id,
            user_id: &signed_in.session.user_id,
            generation: 1,
            issued_at: sessions.0.clock.wall(),
            lifetime: Duration::from_secs(900),
            custom: None,
        })
    };
    let many: Vec<_> = (0..80).map(another).collect::<Result<_, _>>().unwrap();
    let (mut known, mut stood_in_front) = (Vec::new(), Vec::new());
    for token in &many {
        let Verdict::Live(current) = ask(&sessions, token).await else { panic!("a good token") };
        let remembered = sessions.0.tokens.get(sessions.0.tokens.digest(token.as_bytes())).is_some();
        assert_ne!(in_front(&sessions, token).0, remembered, "in both places or in none");
        known.push(Arc::clone(current.token()));
        stood_in_front.push(!remembered);
    }
    for n in (0..many.len()).cycle().take(10 * many.len()) {
        let Verdict::Live(current) = ask(&sessions, &many[n]).await else { panic!("a good token") };
        let identified = sessions.identify(many[n].as_bytes(), TokenUse::Access, sessions.tick()).unwrap();
        assert!(Arc::ptr_eq(current.token(), &known[n]) && Arc::ptr_eq(&identified, &known[n]), "checked again");
    }
    let gone = many.iter().zip(stood_in_front).filter(|(token, stood)| *stood && !in_front(&sessions, token).0);
    assert!(gone.count() > 5, "the control");
}

/// The control is the front that asks for the token alone: it would let each of them in.
#[tokio::test]
async fn what_stands_in_front_lets_nobody_in_once_it_does_not_hold() {
    for what in ["ended", "changed", "keys", "use", "expired"] {
        let clock = crate::clock::Clock::manual();
        let tokens = || AccessTokens::hs256("0123456789abcdefghijklmnopqrstuv").unwrap();
        let builder = Sessions::builder(MemoryStore::new()).access_tokens(tokens()).clock(clock.clone());
        let sessions = builder.server_secret("a server secret of its own, 32 and more bytes").build().await.unwrap();
        let signed_in = sessions.sign_in(SignIn::new("lena")).await.unwrap();
        let (id, token) = (signed_in.session.id, signed_in.access_token.as_str());
        for _ in 0..3 {
            assert!(matches!(ask(&sessions, token).await, Verdict::Live(_)));
        }
        assert_eq!(in_front(&sessions, token), (true, true));
        match what {
            "ended" => {
                let target = EndTarget::One { id, user: None };
                sessions.end(target, EndReason::Logout, None).await.unwrap();
            }
            "changed" => sessions.0.cache.mark_stale(id),
            "keys" => sessions.replace_keys(AccessTokens::hs256("vutsrqponmlkjihgfedcba9876543210").unwrap()).unwrap(),
            "expired" => clock.advance(Duration::from_secs(16 * 60)),
            _ => {
                assert!(sessions.let_in_again(token.as_bytes(), TokenUse::Cookie, || false, &Nobody).is_none());
                continue;
            }
        }
        assert_eq!(in_front(&sessions, token), (true, false), "{what}");
        assert_eq!(matches!(ask(&sessions, token).await, Verdict::Live(_)), what == "changed", "{what}");
    }
}

/// Where a touch would change nothing, none is made, and nobody asks whether the request counts. The controls are the first request at a
/// glance, which does ask, and the first one after a flush and after a step.
#[tokio::test]
async fn a_hit_is_asked_for_activity_only_where_that_may_change_anything() {
    let clock = crate::clock::Clock::manual();
    let tokens = AccessTokens::hs256("0123456789abcdefghijklmnopqrstuv").unwrap();
    let builder = Sessions::builder(MemoryStore::with_clock(clock.clone())).access_tokens(tokens).clock(clock.clone());
    let sessions = builder.build().await.unwrap();
    let signed_in = sessions.sign_in(SignIn::new("lena")).await.unwrap();
    let token = signed_in.access_token.as_str();
    while !in_front(&sessions, token).0 {
        assert!(matches!(ask(&sessions, token).await, Verdict::Live(_)));
    }
    let is_asked = || {
        let asked = Cell::new(false);
        let counts = || {
            asked.set(true);
            true
        };
        assert!(sessions.let_in_again(token.as_bytes(), TokenUse::Access, counts, &Nobody).is_some());
        asked.get()
    };
    assert_eq!([is_asked(), is_asked()], [true, false]);
    sessions.flush_activity().await.unwrap();
    assert_eq!([is_asked(), is_asked()], [true, false], "it may wait to be written");
    clock.advance(Duration::from_millis(20));
    assert_eq!([is_asked(), is_asked()], [true, false], "it is later now");
}

/// Whatever happens to sessions, keys and time: who is let in by what stands in front is let in by a token that is checked anew, and a
/// token that is remembered names what one that is checked anew does. The control is the front that asks for the token alone.
#[tokio::test]
async fn whatever_happens_the_front_says_what_the_judge_says() {
    let (mut let_in, mut stood_and_did_not_hold, mut had_made_room) = (0, 0, 0);
    for seed in 1..=4_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let clock = crate::clock::Clock::manual();
        let building = Sessions::builder(MemoryStore::with_clock(clock.clone()))
            .access_tokens(keys(KEYS, true))
            .clock(clock.clone())
            .server_secret("a server secret of its own, 32 and more bytes")
            .max_cached_sessions(64)
            .idle_timeout(Duration::from_secs(2_000))
            .absolute_lifetime(Duration::from_secs(9_000))
            .build();
        let sessions = building.await.unwrap();
        let mut people = Vec::new();
        for n in 0..8 {
            let session = sessions.sign_in(SignIn::new(format!("user-{n}"))).await.unwrap().session;
            people.push((session.id, session.user_id));
        }
        let mut tokens: Vec<String> = Vec::new();
        for _ in 0..300 {
            let (id, user) = &people[random.below(people.len())];
            match random.below(24) {
                0 | 1 => clock.advance(Duration::from_secs(1 + random.below(90) as u64)),
                2 if random.below(3) == 0 => {
                    let target = EndTarget::One { id: *id, user: None };
                    sessions.end(target, EndReason::Logout, None).await.unwrap();
                }
                3 => {
                    let [one, other] = KEYS;
                    let now = if random.below(2) == 0 { [one, other] } else { [other, one] };
                    sessions.replace_keys(keys(now, random.below(2) == 0)).unwrap();
                }
                4 => sessions.0.cache.mark_stale(*id),
                _ if tokens.len() < 50 => {
                    let usages = [TokenUse::Access, TokenUse::Access, TokenUse::Cookie, TokenUse::Pending];
                    let token = sessions.0.key_set.load().keys.sign(&NewToken {
                        usage: usages[random.below(usages.len())],
                        session_id: *id,
                        user_id: user,
                        generation: 1 + random.below(3) as u64,
                        issued_at: clock.wall(),
                        lifetime: Duration::from_secs(60 + 100 * random.below(40) as u64),
                        custom: None,
                    });
                    tokens.push(token.unwrap());
                }
                _ => {
                    for _ in 0..6 {
                        let token = tokens[random.below(tokens.len())].as_bytes();
                        let usage = if random.below(4) == 0 { TokenUse::Cookie } else { TokenUse::Access };
                        let strict = random.below(10) == 0;
                        if let Validation::Read(pending) = sessions.validate(token, usage, strict, || true, &Nobody) {
                            pending.finish(Instant::now() + super::super::ANSWER_WITHIN).await;
                        }
                    }
                }
            }
            let now = sessions.tick();
            for (token, usage) in tokens.iter().flat_map(|token| [(token, TokenUse::Access), (token, TokenUse::Cookie)])
            {
                let token = token.as_bytes();
                let let_in_again = sessions.let_in_again(token, usage, || false, &Nobody);
                let anew = sessions.verify(&sessions.0.key_set.load(), token, usage, now);
                let anew = anew.ok().filter(|known| known.is_current(now));
                let remembered = sessions.recognise(token, usage, now).ok();
                let named = |known: &KnownToken| (known.named(), known.usage, known.pending, known.generation());
                assert_eq!(remembered.map(|one| named(&one.known)), anew.as_deref().map(named));
                let judged = anew.and_then(|known| sessions.judge_cached(&known, now));
                match (let_in_again, judged) {
                    (Some(current), Some(Verdict::Live(live))) => {
                        assert!(Arc::ptr_eq(&live.token().state, &current.token().state));
                        let_in += 1;
                    }
                    (Some(current), other) => panic!("{current:?} was let in, {other:?}"),
                    (None, _) if sessions.0.front.find(token, |_| true).is_some() => stood_and_did_not_hold += 1,
                    (None, Some(Verdict::Live(_))) => had_made_room += 1,
                    (None, _) => {}
                }
            }
        }
    }
    let counted = (let_in, stood_and_did_not_hold, had_made_room);
    assert!(let_in > 1_000 && stood_and_did_not_hold > 1_000 && had_made_room > 100, "the controls: {counted:?}");
}

const KEYS: [&str; 2] = ["0123456789abcdefghijklmnopqrstuv", "vutsrqponmlkjihgfedcba9876543210"];

/// Signed with the first, and the second accepted or not.
fn keys([one, other]: [&str; 2], both: bool) -> AccessTokens {
    let tokens = AccessTokens::hs256(one).unwrap();
    if both { tokens.also_accept(VerifyingKey::hs256(other).unwrap()) } else { tokens }
}

/// Xorshift: the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}
