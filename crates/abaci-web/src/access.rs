//! The token of those who may change something, and the sessions and one-time codes that it signs.
//!
//! A session is a cookie with its end and a signature by a key that only this token gives, so that no server keeps
//! sessions: one that is started again knows them, and one with another token does not. A one-time code is signed in the
//! same way by whoever knows the token, and a server takes each once.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use blake3::Hash;

use crate::clock::since_1970;

/// The life of a session.
pub(crate) const SESSION_LIFE: Duration = Duration::from_hours(24 * 7);

/// The time in which a one-time code is used.
const CODE_LIFE: Duration = Duration::from_mins(10);

/// The shortest token that is accepted.
const SHORTEST_TOKEN: usize = 16;

/// The longest token that is accepted.
const LONGEST_TOKEN: usize = 512;

/// A secret that lets its holder change something.
#[derive(Clone)]
pub struct Token(Arc<str>);

/// The refusal of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the token has {length} characters; give one of {SHORTEST_TOKEN} to {LONGEST_TOKEN} letters, digits and signs of ASCII"
)]
pub struct TokenError {
    /// The length of what was given.
    length: usize,
}

/// The rights of those who ask.
#[derive(Clone)]
pub struct Access {
    token: Arc<RwLock<Token>>,
    /// Names under which the server may be asked, beside its address.
    hosts: Vec<String>,
    /// True if reading needs the token, too.
    is_closed: bool,
    is_read_only: bool,
    /// The codes that were taken and the sessions that were ended, and when each would have been over.
    spent: Arc<Mutex<HashMap<String, u64>>>,
    /// When it was made, in seconds since 1970.
    began: u64,
}

impl Token {
    /// Takes a token that somebody chose.
    ///
    /// # Errors
    /// [`TokenError`] for one that is short enough to be guessed, or cannot stand in a header.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let is_whole = text.chars().all(|c| c.is_ascii_graphic());
        if is_whole && (SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&text.len()) {
            return Ok(Self(text.into()));
        }
        Err(TokenError {
            length: text.chars().count(),
        })
    }

    /// Makes a token of random bytes.
    #[must_use]
    pub fn of_random(bytes: [u8; 32]) -> Self {
        let text = bytes.iter().fold(String::new(), |mut text, byte| {
            // A string takes whatever is written.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Self(text.into())
    }

    /// Returns the token itself, to be kept where only its owner reads.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Makes a code that logs in once, soon; `random` is what makes it one of its own.
    #[must_use]
    pub fn login_code(&self, random: [u8; 16]) -> String {
        let nonce = blake3::hash(&random).to_hex();
        self.signed("abaci web login", &nonce[..32], after(CODE_LIFE))
    }

    /// Names the cookie of its sessions: cookies know no ports, and several servers may run on one host.
    pub(crate) fn cookie_name(&self) -> String {
        let name = blake3::derive_key("abaci web cookie name", self.0.as_bytes());
        format!("abaci-{}", &Hash::from_bytes(name).to_hex()[..12])
    }

    pub(crate) fn session(&self) -> String {
        let nonce = durable_jobs::JobId::fresh().to_string();
        self.signed("abaci web session", &nonce.replace('-', ""), after(SESSION_LIFE))
    }

    /// Compares in constant time.
    pub(crate) fn is(&self, given: &str) -> bool {
        // blake3 compares hashes in constant time, and both have one length, whatever was given.
        blake3::hash(given.as_bytes()) == blake3::hash(self.0.as_bytes())
    }

    fn signed(&self, purpose: &str, nonce: &str, until: u64) -> String {
        format!(
            "{nonce}.{until}.{}",
            self.signature(purpose, nonce, until).to_hex()
        )
    }

    fn signature(&self, purpose: &str, nonce: &str, until: u64) -> Hash {
        // A key for each purpose: a login code is no session, though both have the same form.
        let key = blake3::derive_key(purpose, self.0.as_bytes());
        blake3::keyed_hash(&key, format!("{nonce}.{until}").as_bytes())
    }

    /// Reads what was signed for this purpose and is not over: the nonce and the end.
    fn read(&self, purpose: &str, value: &str) -> Option<(String, u64)> {
        // Neither a nonce nor an end has a dot, so the signed text can be read in one way only.
        let (nonce, rest) = value.split_once('.')?;
        let (until, signature) = rest.split_once('.')?;
        let until: u64 = until.parse().ok()?;
        // The comparison of hashes takes the same time whatever differs.
        let is_ours = Hash::from_hex(signature).ok()? == self.signature(purpose, nonce, until);
        (is_ours && until > after(Duration::ZERO)).then(|| (nonce.to_owned(), until))
    }
}

impl Access {
    /// Lets the holders of `token` do everything, and everybody read, under the names of the loopback address.
    #[must_use]
    pub fn new(token: Token) -> Self {
        Self {
            token: Arc::new(RwLock::new(token)),
            hosts: Vec::new(),
            is_closed: false,
            is_read_only: false,
            spent: Arc::default(),
            began: after(Duration::ZERO),
        }
    }

    /// Lets the server be asked under these names, too.
    #[must_use]
    pub fn with_hosts(self, hosts: Vec<String>) -> Self {
        Self { hosts, ..self }
    }

    /// Lets nobody read without the token.
    #[must_use]
    pub fn closed(self) -> Self {
        Self {
            is_closed: true,
            ..self
        }
    }

    /// Lets nobody change anything.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            is_read_only: true,
            ..self
        }
    }

    /// Takes another token from now on, in every clone of this; the sessions and codes of the one before are over.
    ///
    /// Returns false where it is the same.
    pub fn replace_token(&self, token: Token) -> bool {
        if self.token().is(&token.0) {
            return false;
        }
        // One assignment cannot be left half done, so a poisoned lock holds a whole token.
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
        true
    }

    pub(crate) fn token(&self) -> Token {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn hosts(&self) -> &[String] {
        &self.hosts
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// Takes a one-time code; a second time it is none, nor is one from before this server, which may have been taken by the
    /// one before.
    pub(crate) fn spend(&self, code: &str) -> bool {
        let Some((nonce, until)) = self.token().read("abaci web login", code) else {
            return false;
        };
        // Every code lives for the same time, so one that ends before this was made before the server began.
        if until < self.began + CODE_LIFE.as_secs() {
            return false;
        }
        self.revoke(nonce, until)
    }

    /// Tests whether a session goes on.
    pub(crate) fn is_session(&self, value: &str) -> bool {
        let Some((nonce, _)) = self.token().read("abaci web session", value) else {
            return false;
        };
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        !spent.contains_key(&nonce)
    }

    /// Ends a session, for as long as this server runs.
    pub(crate) fn end_session(&self, value: &str) {
        if let Some((nonce, until)) = self.token().read("abaci web session", value) {
            self.revoke(nonce, until);
        }
    }

    /// Notes that a code or a session counts no more; returns false where it did not before.
    fn revoke(&self, nonce: String, until: u64) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let now = after(Duration::ZERO);
        // An entry that is over is refused by its end, and need not be remembered.
        spent.retain(|_, until| *until > now);
        // The test and the note are one step under the lock: of two requests with one code, one logs in.
        spent.insert(nonce, until).is_none()
    }
}

/// The seconds since 1970 at a moment from now.
fn after(time: Duration) -> u64 {
    since_1970().saturating_add(time).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token::new("a-token-of-some-length").unwrap()
    }

    #[test]
    fn a_login_code_is_taken_once_and_by_its_own_token() {
        let access = Access::new(token());
        let code = token().login_code([7; 16]);
        let other = Token::of_random([1; 32]).login_code([7; 16]);
        assert!(!access.spend(&other), "the code of another token");
        assert!(access.spend(&code));
        assert!(!access.spend(&code), "a code was taken twice");
        assert!(access.spend(&token().login_code([8; 16])));
        let later = Access {
            began: after(Duration::from_secs(1)),
            ..Access::new(token())
        };
        assert!(
            !later.spend(&token().login_code([9; 16])),
            "the server before may have taken it"
        );
    }

    #[test]
    fn a_session_that_was_ended_is_none_in_any_clone() {
        let access = Access::new(token());
        let (ended, other) = (token().session(), token().session());
        access.clone().end_session(&ended);
        assert!(!access.is_session(&ended) && access.is_session(&other));
    }

    #[test]
    fn another_token_ends_the_sessions_of_the_one_before() {
        let access = Access::new(token());
        let (clone, code, session) = (access.clone(), token().login_code([7; 16]), token().session());
        assert!(!clone.replace_token(token()) && access.is_session(&session));
        assert!(clone.replace_token(Token::of_random([1; 32])));
        assert!(!access.is_session(&session) && !access.spend(&code));
        assert!(access.spend(&Token::of_random([1; 32]).login_code([7; 16])));
    }

    #[test]
    fn a_session_is_of_its_token_and_is_no_login_code() {
        let session = token().session();
        let access = Access::new(token());
        assert!(access.is_session(&session));
        assert!(!Access::new(Token::of_random([1; 32])).is_session(&session));
        assert!(!access.spend(&session));
        assert!(!access.is_session(&token().login_code([1; 16])));
        for wrong in ["", ".", "..", "a.1.b", &session[1..], &session.replace('.', ":")] {
            assert!(!access.is_session(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn what_was_signed_is_over_at_its_end() {
        let old = token().signed("abaci web session", "a", after(Duration::ZERO));
        let access = Access::new(token());
        assert!(!access.is_session(&old));
        let (_, until) = old.split_once('.').unwrap();
        let longer = old.replace(until.split('.').next().unwrap(), "99999999999");
        assert!(!access.is_session(&longer), "the end was changed");
    }

    #[test]
    fn a_token_that_can_be_guessed_or_not_sent_is_refused() {
        for text in [
            "",
            "short",
            "fifteen-letters",
            "sixteen letters 1",
            "sixteen-letters-é",
        ] {
            let error = Token::new(text).err().map(|error| error.to_string());
            assert!(error.is_some_and(|error| error.contains("16 to 512")), "{text}");
        }
    }
}
