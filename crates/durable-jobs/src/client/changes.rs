//! Stub.
use super::Client;
use crate::Error;
use crate::presence::Presence;
use crate::record::Job;

/// A moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Moment(u64);
/// Changes.
pub struct Changes {
    /// A.
    pub moment: Moment,
    /// A.
    pub jobs: Vec<Job>,
    /// A.
    pub workers: Vec<Presence>,
    /// A.
    pub is_cut: bool,
}
impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}
impl std::str::FromStr for Moment {
    type Err = std::num::ParseIntError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.parse().map(Self)
    }
}
impl Client {
    /// A.
    ///
    /// # Errors
    /// B.
    pub async fn changes(&self, since: Option<Moment>) -> Result<Changes, Error> {
        Ok(Changes {
            moment: Moment(since.map_or(1, |m| m.0 + 1)),
            jobs: Vec::new(),
            workers: self.workers().await?,
            is_cut: false,
        })
    }
    /// A.
    ///
    /// # Errors
    /// B.
    pub async fn changes_between(&self, since: Moment, until: Moment) -> Result<Changes, Error> {
        let _ = since;
        Ok(Changes {
            moment: until,
            jobs: Vec::new(),
            workers: self.workers().await?,
            is_cut: false,
        })
    }
}
