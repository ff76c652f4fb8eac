//! Messages to listeners, and their subscriptions.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use durable_jobs::JobId;
use durable_jobs::client::Moment;
use serde::Serialize;
use tokio::sync::{broadcast, oneshot, watch};

use crate::views::{JobView, ProgressView, WorkerView};

/// A message to all listeners.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// Something changed, or nothing did for a while.
    Changes(Arc<ChangeSet>),
    /// These jobs, which somebody listens to, were deleted.
    Deleted(Arc<HashSet<JobId>>),
    /// The database does not answer, since this moment of the server's clock in milliseconds since 1970.
    Outage(i64),
}

/// The changes up to a moment.
#[derive(Debug, Clone)]
pub(crate) struct ChangeSet {
    pub(crate) moment: Moment,
    pub(crate) jobs: Vec<JobView>,
    pub(crate) progress: Vec<ProgressView>,
    /// The JSON of all of it; absent where nothing changed.
    pub(crate) json: Option<String>,
    /// True if there are too many: whoever shows something reads it anew.
    pub(crate) is_cut: bool,
}

impl ChangeSet {
    /// Tests whether a job is among those that changed.
    pub(crate) fn has(&self, id: &JobId) -> bool {
        self.jobs.iter().any(|job| job.id == id.as_str())
    }
}

/// Changes as listeners get them.
#[derive(Serialize)]
pub(crate) struct ChangesJson<'a> {
    /// The jobs that changed, as they are now.
    pub(crate) jobs: &'a [JobView],
    /// All workers, with what they said of their jobs; empty for what was missed.
    pub(crate) workers: &'a [WorkerView],
    /// True if there are too many changes: read anew.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) reset: bool,
}

impl ChangesJson<'_> {
    /// Writes them; in their place a request to read anew where they are too long.
    pub(crate) fn text(&self) -> String {
        // Always valid: it is made of strings and numbers.
        let text = serde_json::to_string(self).unwrap_or_default();
        if text.len() <= MOST_BYTES {
            return text;
        }
        READ_ANEW.to_owned()
    }
}

/// Changes of more bytes than these are not sent: whoever shows something reads it anew.
const MOST_BYTES: usize = 256 * 1024;

/// The JSON of no changes, for one who is to hear that an outage has passed.
pub(crate) const NO_CHANGES: &str = r#"{"jobs":[],"workers":[]}"#;

/// The JSON of changes that are to be read anew.
const READ_ANEW: &str = r#"{"jobs":[],"workers":[],"reset":true}"#;

/// The subscription of a listener.
pub(crate) struct Subscription {
    /// The messages that it missed.
    pub(crate) missed: VecDeque<Arc<ChangeSet>>,
    /// The messages that come.
    pub(crate) messages: broadcast::Receiver<Message>,
}

/// A subscription that is not there yet, and news of an outage meanwhile.
pub(crate) struct PendingSubscription {
    pub(crate) subscription: oneshot::Receiver<Subscription>,
    pub(crate) outage: watch::Receiver<Option<i64>>,
}

/// The next event for a listener that waits for its subscription.
pub(crate) enum JoinEvent {
    Admitted(Subscription),
    /// The database does not answer, since this moment as in [`Message::Outage`].
    Outage(i64),
    /// The server ends.
    End,
}

impl PendingSubscription {
    pub(crate) async fn next(&mut self) -> JoinEvent {
        tokio::select! {
            // Of both, the subscription goes first: an outage is over for a listener that was admitted.
            biased;
            subscription = &mut self.subscription => subscription.map_or(JoinEvent::End, JoinEvent::Admitted),
            since_ms = begun(&mut self.outage) => JoinEvent::Outage(since_ms),
        }
    }
}

/// Waits for an outage that was not heard of.
async fn begun(outage: &mut watch::Receiver<Option<i64>>) -> i64 {
    while outage.changed().await.is_ok() {
        if let Some(since_ms) = *outage.borrow_and_update() {
            return since_ms;
        }
    }
    // The loop has ended, and its end of the subscription with it: that side says so.
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_too_many_bytes_are_to_be_read_anew() {
        let progress = |bytes: usize| ProgressView {
            id: "a".repeat(bytes),
            attempt: None,
            step: None,
            share: None,
            phase: None,
            bytes: None,
            seconds: 0.0,
        };
        let text = |bytes| {
            let workers = [WorkerView {
                executor: "host/0".to_owned(),
                host: "host".to_owned(),
                pid: 1,
                state: "busy",
                queue: "queue".to_owned(),
                version: "1".to_owned(),
                slots: 1,
                heartbeat_age_seconds: 0.0,
                running: vec![progress(bytes)],
                last_exit: None,
            }];
            let json = ChangesJson {
                jobs: &[],
                workers: &workers,
                reset: false,
            };
            json.text()
        };
        assert!(text(MOST_BYTES / 2).contains("aaa"));
        assert_eq!(text(MOST_BYTES), READ_ANEW);
    }
}
