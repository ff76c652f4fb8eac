//! What a supervisor and its children say to each other: lines of JSON over a socket pair.
//!
//! Each child has one end as its standard input, so that no descriptor has to be named and nothing has to be found: the
//! end of the channel is the end of the other side, whatever way that came about.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;

use durable_jobs::worker::WorkerReport;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::snapshot::Snapshot;

/// What a worker says to its supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromWorker {
    /// The heartbeat: its async loop turns. The report is absent until the worker takes jobs.
    Beat {
        /// All that it says of itself.
        report: Option<WorkerReport>,
    },
    /// It gives up, and this is the line that it would have printed and the code that it ends with.
    Failed {
        /// The exit code.
        code: u8,
        /// The line.
        reason: String,
        /// Another process works under the executor id of its slot.
        #[serde(default)]
        is_slot_taken: bool,
    },
}

/// What the health process says to its supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromHealth {
    /// The heartbeat.
    Beat,
}

/// What a supervisor says to the health process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum ToHealth {
    /// Where the jobs are; the address may hold a password and goes no further.
    Database {
        /// The address.
        url: String,
        /// The queue.
        queue: String,
    },
    /// How things stand.
    State {
        /// All that is known.
        snapshot: Box<Snapshot>,
    },
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard<T> {
    /// Something that we understand.
    Message(T),
    /// Something that means nothing to us, as from another version of this program in the middle of a reload; it is a sign
    /// of life all the same.
    Noise,
}

/// The reading half of a channel.
pub struct Receiver(Lines<BufReader<OwnedReadHalf>>);

/// The writing half of a channel.
pub struct Sender(OwnedWriteHalf);

/// Makes a channel: our two halves, and the end that becomes a child's standard input.
pub(crate) fn pair() -> io::Result<(Sender, Receiver, OwnedFd)> {
    let (ours, theirs) = StdStream::pair()?;
    let (sender, receiver) = halves(ours)?;
    Ok((sender, receiver, theirs.into()))
}

/// The channel to the supervisor that started this process; an error where none did.
///
/// # Errors
/// When standard input is no socket.
pub fn inherited() -> io::Result<(Sender, Receiver)> {
    halves(StdStream::from(inherited_end()?))
}

fn inherited_end() -> io::Result<OwnedFd> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&stdin)?.st_mode);
    if kind != rustix::fs::FileType::Socket {
        return Err(io::Error::other("standard input is no socket"));
    }
    Ok(stdin)
}

/// Says a worker's last words where there is no async side yet.
///
/// # Errors
/// When this process has no supervisor, or no longer.
pub fn say_at_once(words: &FromWorker) -> io::Result<()> {
    let mut line = serde_json::to_vec(words)?;
    line.push(b'\n');
    io::Write::write_all(&mut StdStream::from(inherited_end()?), &line)
}

fn halves(stream: StdStream) -> io::Result<(Sender, Receiver)> {
    stream.set_nonblocking(true)?;
    let (read, write) = UnixStream::from_std(stream)?.into_split();
    Ok((Sender(write), Receiver(BufReader::new(read).lines())))
}

impl Sender {
    /// Says something; waits while the other side is slow.
    ///
    /// # Errors
    /// When the other side is gone.
    pub async fn say(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.0.write_all(&line).await
    }
}

impl Receiver {
    /// Hears the next message; `None` when the other side is gone. Cancel-safe.
    pub async fn hear<T: DeserializeOwned>(&mut self) -> Option<Heard<T>> {
        let line = self.0.next_line().await.ok().flatten()?;
        // The line is not quoted anywhere: what we do not understand may hold a password.
        Some(serde_json::from_str(&line).map_or(Heard::Noise, Heard::Message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_said_is_heard_and_the_end_of_the_other_side_too() {
        let (mut sender, mut receiver, theirs) = pair().unwrap();
        let (mut other, mut other_hears) = halves(StdStream::from(theirs)).unwrap();
        sender.say(&FromHealth::Beat).await.unwrap();
        assert_eq!(other_hears.hear().await, Some(Heard::Message(FromHealth::Beat)));
        other.say(&"something of a later version").await.unwrap();
        let failed = FromWorker::Failed {
            code: 2,
            reason: "no".to_owned(),
            is_slot_taken: false,
        };
        other.say(&failed).await.unwrap();
        assert_eq!(receiver.hear::<FromWorker>().await, Some(Heard::Noise));
        assert_eq!(receiver.hear().await, Some(Heard::Message(failed)));
        drop((other, other_hears));
        assert_eq!(receiver.hear::<FromWorker>().await, None);
    }
}
