//! Users and their bcrypt hashes. A hash takes tens of milliseconds: never on the server's own thread, and not twice
//! for the same credentials.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{self, HeaderMap};
use ring::hmac;
use tokio::sync::Semaphore;

/// Outcomes that are remembered.
const REMEMBERED: usize = 100;
/// A hash's cost beyond this would take minutes.
const COST: u32 = 16;
/// Credentials beyond this are nobody's, bytes.
const LONGEST: usize = 1024;

/// A bcrypt hash.
#[derive(Clone, Debug)]
pub(super) struct Hash {
    text: String,
    cost: u32,
}

impl Hash {
    /// Reads a hash as `htpasswd -nBC 10 ""` prints it behind the colon.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        const HOW: &str = "write one as `htpasswd -nBC 10 NAME` prints it behind the colon";
        let parts =
            bcrypt::HashParts::from_str(text).map_err(|_| format!("this is no bcrypt hash: {HOW}"))?;
        let cost = parts.get_cost();
        if !(4..=COST).contains(&cost) {
            return Err(format!("a cost of {cost} is out of range 4–{COST}: {HOW}"));
        }
        Ok(Self { text: text.to_owned(), cost })
    }
}

/// Who may ask.
#[derive(Clone)]
pub(in super::super) struct Users(Arc<Shared>);

struct Shared {
    users: Vec<(String, Hash)>,
    /// The dearest hash of all. Checked where the name is nobody's; what a cheaper one saves is spent all the same: an
    /// answer takes as long whoever asks.
    decoy: Hash,
    /// Of this run and this reading of the file: what is remembered tells nothing to anybody else.
    key: hmac::Key,
    /// Fingerprints of credentials and what came of them, the newest last.
    known: Mutex<VecDeque<([u8; 32], bool)>>,
    /// One hash at a time: a flood of wrong passwords takes one core at most.
    turn: Semaphore,
}

/// A name and a password, as they were sent.
#[derive(Clone)]
pub(in super::super) struct Credentials {
    name: String,
    password: Vec<u8>,
}

/// The credentials of a request (RFC 7617).
pub(in super::super) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > 2 * LONGEST {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let colon = memchr::memchr(b':', &decoded)?;
    let name = std::str::from_utf8(&decoded[..colon]).ok()?.to_owned();
    Some(Credentials { name, password: decoded[colon + 1..].to_vec() })
}

impl Users {
    /// Users with their hashes; `None` where there are none.
    pub(super) fn new(users: Vec<(String, Hash)>) -> Option<Self> {
        let decoy = users.iter().map(|(_, hash)| hash).max_by_key(|hash| hash.cost)?.clone();
        let mut key = [0; 32];
        if getrandom::fill(&mut key).is_err() {
            // No system that runs this lacks a random source; the address of a heap is better than nothing.
            key[..8].copy_from_slice(&(users.as_ptr() as usize as u64).to_le_bytes());
        }
        Some(Self(Arc::new(Shared {
            users,
            decoy,
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            known: Mutex::new(VecDeque::with_capacity(REMEMBERED)),
            turn: Semaphore::new(1),
        })))
    }

    /// Whether these are somebody's. Remembered outcomes are told at once; others take a hash, on a thread for such.
    pub(in super::super) async fn admits(&self, credentials: Credentials) -> bool {
        let fingerprint = self.0.fingerprint(&credentials);
        if let Some(known) = self.0.known(&fingerprint) {
            return known;
        }
        let Ok(_turn) = self.0.turn.acquire().await else { return false };
        // Another connection may just have asked the same.
        if let Some(known) = self.0.known(&fingerprint) {
            return known;
        }
        let shared = Arc::clone(&self.0);
        let admitted = tokio::task::spawn_blocking(move || shared.check(&credentials)).await.unwrap_or(false);
        self.0.remember(fingerprint, admitted);
        admitted
    }
}

impl Shared {
    fn check(&self, credentials: &Credentials) -> bool {
        let hash = self.users.iter().find(|(name, _)| *name == credentials.name).map(|(_, hash)| hash);
        let checked = hash.unwrap_or(&self.decoy);
        // What is longer than bcrypt looks at, or has a NUL in it, is checked as it stands.
        let matches = bcrypt::verify(&credentials.password, &checked.text).unwrap_or(false);
        for cost in padding(checked.cost, self.decoy.cost) {
            let spent = bcrypt::hash_with_salt(&credentials.password, cost, [0; 16]);
            // Only the time matters; the compiler must not find that out.
            std::hint::black_box(spent.is_ok());
        }
        matches && hash.is_some()
    }

    fn fingerprint(&self, credentials: &Credentials) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(credentials.name.len() as u64).to_le_bytes());
        context.update(credentials.name.as_bytes());
        context.update(&credentials.password);
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(context.sign().as_ref());
        fingerprint
    }

    fn known(&self, fingerprint: &[u8; 32]) -> Option<bool> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().rev().find(|(known, _)| known == fingerprint).map(|(_, admitted)| *admitted)
    }

    /// Of those that are refused the oldest goes first: a flood of wrong passwords must not push out the right ones.
    fn remember(&self, fingerprint: [u8; 32], admitted: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            let oldest = known.iter().position(|(_, admitted)| !admitted).unwrap_or(0);
            known.remove(oldest);
        }
        known.push_back((fingerprint, admitted));
    }
}

/// The costs of further hashes that together with one of `cost` take as long as one of `dearest`: each step of the cost
/// doubles the time, and 2^c + (2^c + 2^(c+1) + … + 2^(d−1)) = 2^d.
fn padding(cost: u32, dearest: u32) -> std::ops::Range<u32> {
    cost..dearest
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn users() -> Users {
        let hash = Hash::read(&bcrypt::hash("secret", 4).unwrap()).unwrap();
        Users::new(vec![("ann".to_owned(), hash)]).unwrap()
    }

    fn of(name: &str, password: &str) -> Credentials {
        Credentials { name: name.to_owned(), password: password.as_bytes().to_vec() }
    }

    fn run<F: Future>(test: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
    }

    #[test]
    fn only_a_user_with_the_right_password_is_admitted() {
        let users = users();
        run(async {
            for _ in 0..2 {
                assert!(users.admits(of("ann", "secret")).await);
                assert!(!users.admits(of("ann", "wrong")).await);
                assert!(!users.admits(of("bob", "secret")).await, "the decoy's password is nobody's");
                assert!(!users.admits(of("", "")).await);
                assert!(!users.admits(of("annsecret", "")).await);
            }
        });
        assert_eq!(users.0.known.lock().unwrap().len(), 5, "each was hashed once");
    }

    #[test]
    fn users_whose_hashes_differ_in_cost_take_the_same_time() {
        let rounds = |cost: u32| 1_u64 << cost;
        for (cost, dearest) in [(4, 4), (4, 12), (9, 10)] {
            let spent: u64 = padding(cost, dearest).map(rounds).sum();
            assert_eq!(rounds(cost) + spent, rounds(dearest), "{cost} of {dearest}");
        }
        let hash = |cost| Hash::read(&bcrypt::hash("secret", cost).unwrap()).unwrap();
        let users = Users::new(vec![("ann".to_owned(), hash(4)), ("bob".to_owned(), hash(6))]).unwrap();
        run(async {
            for name in ["ann", "bob"] {
                assert!(users.admits(of(name, "secret")).await);
                assert!(!users.admits(of(name, "wrong")).await);
            }
            assert!(!users.admits(of("eve", "secret")).await);
        });
        assert_eq!(users.0.decoy.cost, 6);
    }

    #[test]
    fn a_flood_of_wrong_passwords_does_not_push_out_the_right_one() {
        let users = users();
        users.0.remember([0; 32], true);
        for number in 1..=255 {
            users.0.remember([number; 32], false);
        }
        assert_eq!(users.0.known(&[0; 32]), Some(true));
        assert_eq!(users.0.known(&[255; 32]), Some(false));
        assert_eq!(users.0.known(&[1; 32]), None);
        assert_eq!(users.0.known.lock().unwrap().len(), REMEMBERED);
    }

    #[test]
    fn credentials_are_read_as_the_standard_has_them() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            credentials(&headers).map(|it| (it.name, String::from_utf8(it.password).unwrap()))
        };
        let encoded = BASE64_STANDARD.encode("ann:a:b");
        assert_eq!(read(&format!("Basic {encoded}")), Some(("ann".to_owned(), "a:b".to_owned())));
        assert_eq!(read(&format!("basic  {encoded}")), Some(("ann".to_owned(), "a:b".to_owned())));
        for value in
            ["Basic", "Basic !", "Bearer x", "Basic bm9jb2xvbg==", &format!("Basic {}", "A".repeat(4096))]
        {
            assert_eq!(read(value), None, "{value}");
        }
    }

    #[test]
    fn a_hash_that_would_take_for_ever_is_refused() {
        let hash = |cost: u32| format!("$2y${cost:02}$L6Bc/AlTQHyd9liGgGEZyOFLPHNgyxeEPfgYfBCVxJ7JIlwxyVU3u");
        assert!(Hash::read(&hash(10)).is_ok());
        assert!(Hash::read(&hash(17)).unwrap_err().contains("out of range"));
        for text in ["", "secret", "$1$x$y", "$2y$10$short"] {
            assert!(Hash::read(text).unwrap_err().contains("no bcrypt hash"), "{text}");
        }
    }
}
