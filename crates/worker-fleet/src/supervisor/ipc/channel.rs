//! One channel: its two halves, and how a child finds its end.
//!
//! Each child has one end as its standard input, so that no descriptor has to be named and nothing has to be found: the
//! end of the channel is the end of the other side, whatever way that came about.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// A message as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Received<T> {
    /// A message that we understand.
    Message(T),
    /// One that means nothing to us, as from another version of this program in the middle of a reload; it is a sign of
    /// life all the same.
    Unknown,
}

/// The reading half of a channel.
pub(crate) struct Receiver(Lines<BufReader<OwnedReadHalf>>);

/// The writing half of a channel.
pub(crate) struct Sender(OwnedWriteHalf);

/// Makes a channel: our two halves, and the end that becomes a child's standard input.
pub(crate) fn pair() -> io::Result<(Sender, Receiver, OwnedFd)> {
    let (ours, theirs) = StdStream::pair()?;
    let (sender, receiver) = halves(ours)?;
    Ok((sender, receiver, theirs.into()))
}

/// Opens the channel to the supervisor that started this process; an error where none did.
pub(crate) fn inherited() -> io::Result<(Sender, Receiver)> {
    halves(inherited_end()?)
}

fn inherited_end() -> io::Result<StdStream> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&stdin)?.st_mode);
    if kind != rustix::fs::FileType::Socket {
        return Err(io::Error::other("standard input is no socket"));
    }
    Ok(stdin.into())
}

/// Sends the supervisor a message where there is no async side yet.
///
/// # Errors
/// When this process has no supervisor, or no longer.
pub(crate) fn send_now(message: &impl Serialize) -> io::Result<()> {
    io::Write::write_all(&mut inherited_end()?, &line_of(message)?)
}

/// Writes a message as one line.
pub(crate) async fn write_line(
    writer: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> io::Result<()> {
    writer.write_all(&line_of(message)?).await
}

fn line_of(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

fn halves(stream: StdStream) -> io::Result<(Sender, Receiver)> {
    // In a child this reaches standard input, too, which shares the open file with this copy of it.
    stream.set_nonblocking(true)?;
    let (read, write) = UnixStream::from_std(stream)?.into_split();
    Ok((Sender(write), Receiver(BufReader::new(read).lines())))
}

impl Sender {
    /// Sends a message; waits while the other side is slow.
    ///
    /// # Errors
    /// When the other side is gone.
    pub(crate) async fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        write_line(&mut self.0, message).await
    }

    /// Sends a message at once, without a turn of the async loop.
    ///
    /// # Errors
    /// When the other side is gone, or is so slow that there is no room for all of the message.
    pub(crate) fn send_at_once(&self, message: &impl Serialize) -> io::Result<()> {
        let line = line_of(message)?;
        let stream: &UnixStream = self.0.as_ref();
        match rustix::io::write(stream, &line)? {
            written if written == line.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

impl Receiver {
    /// Receives the next message; `None` when the other side is gone. Cancel-safe.
    pub(crate) async fn receive<T: DeserializeOwned>(&mut self) -> Option<Received<T>> {
        let line = self.0.next_line().await.ok().flatten()?;
        // The line is quoted nowhere: what we do not understand may hold a password.
        Some(serde_json::from_str(&line).map_or(Received::Unknown, Received::Message))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FromChild, ToServing, WorkerFailure};
    use super::*;

    #[tokio::test]
    async fn a_message_arrives_and_so_does_the_end_of_the_other_side() {
        let (mut sender, mut receiver, theirs) = pair().unwrap();
        let (mut other, mut other_receives) = halves(theirs.into()).unwrap();
        let beat = FromChild::Beat { report: None };
        sender.send(&beat).await.unwrap();
        assert_eq!(other_receives.receive().await, Some(Received::Message(beat)));
        other.send(&"something of a later version").await.unwrap();
        let failed = FromChild::Failed(WorkerFailure {
            code: 2,
            reason: "no".to_owned(),
            is_slot_taken: false,
        });
        other.send(&failed).await.unwrap();
        assert_eq!(receiver.receive::<FromChild>().await, Some(Received::Unknown));
        assert_eq!(receiver.receive().await, Some(Received::Message(failed)));
        sender.send_at_once(&"now").unwrap();
        assert_eq!(
            other_receives.receive().await,
            Some(Received::Message("now".to_owned()))
        );
        drop((other, other_receives));
        assert_eq!(receiver.receive::<FromChild>().await, None);
    }

    #[test]
    fn messages_have_the_form_that_other_versions_send() {
        let beat: FromChild = serde_json::from_str(r#"{"say":"beat"}"#).unwrap();
        assert_eq!(beat, FromChild::Beat { report: None });
        let failed: FromChild = serde_json::from_str(r#"{"say":"failed","code":3,"reason":"no"}"#).unwrap();
        assert!(matches!(failed, FromChild::Failed(WorkerFailure { code: 3, .. })));
        let database: ToServing =
            serde_json::from_str(r#"{"say":"database","url":"u","queue":"q"}"#).unwrap();
        assert!(matches!(database, ToServing::Database(at) if at.queue == "q"));
    }
}
