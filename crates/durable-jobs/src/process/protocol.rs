//! The messages between a worker and its computing process: lines of JSON.
//!
//! A line is bounded, and what is longer or means nothing is passed over, so nothing that a child says can make the worker
//! hold more than one line of it, or fail. Fields may be added: during an upgrade the child may be the newer program.

use std::borrow::Cow;

use bytes::BytesMut;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::codec::{Decoder as _, LinesCodec};

use crate::record::Failure;

/// The longest line that is understood: more than a task or an output should have.
pub(super) const MAX_LINE_BYTES: usize = 256 * 1024;

/// The last bytes of a child's stderr that are kept.
const MAX_TAIL_BYTES: usize = 4096;

/// The longest reason that is made of it, in characters.
const MAX_REASON_CHARS: usize = 300;

/// The task of a child and what it may use, on one line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ComputeRequest<T> {
    /// The name of the task.
    pub(super) name: Cow<'static, str>,
    pub(super) task: T,
    /// Memory beyond what the program has when it begins.
    pub(super) memory_bytes: u64,
    /// Processor time; absent for no limit.
    pub(super) cpu_seconds: Option<u64>,
}

/// One line of a child.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChildMessage<O> {
    /// So much of the work is done, from 0 to 1, and so many bytes are written, once any are.
    Progress {
        done: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
    /// An output before the last one.
    Sent { what: O },
    /// The last output; there is nothing more to do.
    Done { what: O },
    /// There is no last output, and this is why.
    Failed { failure: Failure },
}

/// Writes one line of the exchange.
///
/// # Errors
/// The failure of the task, which another attempt would not change.
pub(super) fn line_of(what: &str, value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut line = serde_json::to_vec(value)
        .map_err(|error| Failure::terminal("Unwritable", format!("{what} has no form in JSON: {error}")))?;
    line.push(b'\n');
    if line.len() > MAX_LINE_BYTES {
        let bytes = line.len();
        return Err(Failure::terminal(
            "TooLarge",
            format!("{what} has {bytes} bytes, over the limit of {MAX_LINE_BYTES}; make it an artifact"),
        ));
    }
    Ok(line)
}

/// Makes lines of the pieces that a pipe delivers, and sense of the lines.
#[derive(Debug)]
pub(super) struct Decoder {
    lines: LinesCodec,
    /// The beginning of a line whose end has not come.
    rest: BytesMut,
}

/// The end of what a child wrote to stderr.
#[derive(Debug, Default)]
pub(super) struct Tail(Vec<u8>);

impl Default for Decoder {
    fn default() -> Self {
        Self {
            lines: LinesCodec::new_with_max_length(MAX_LINE_BYTES),
            rest: BytesMut::new(),
        }
    }
}

impl Decoder {
    /// Takes what the pipe delivered; returns what was said on the lines that it completes.
    pub(super) fn take<O: DeserializeOwned>(&mut self, bytes: &[u8]) -> Vec<ChildMessage<O>> {
        self.rest.extend_from_slice(bytes);
        let mut said = Vec::new();
        loop {
            match self.lines.decode(&mut self.rest) {
                Ok(Some(line)) => said.extend(serde_json::from_str(&line).ok()),
                Ok(None) => return said,
                // It is too long or no text; the codec passes over it.
                Err(_) => {}
            }
        }
    }
}

impl Tail {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let excess = self.0.len().saturating_sub(MAX_TAIL_BYTES);
        self.0.drain(..excess);
    }

    /// The last lines as one, fit for a message; empty where nothing was written.
    pub(super) fn reason(&self) -> String {
        // The tail may begin within a character.
        let text = String::from_utf8_lossy(&self.0);
        let words: Vec<&str> = text.split_whitespace().collect();
        let line: String = words
            .join(" ")
            .chars()
            // The words of a child are recorded and shown, where a control character could steer a terminal.
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let excess = line.chars().count().saturating_sub(MAX_REASON_CHARS);
        line.chars().skip(excess).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Said = ChildMessage<String>;

    fn line(said: &Said) -> Vec<u8> {
        let mut line = serde_json::to_vec(said).unwrap();
        line.push(b'\n');
        line
    }

    fn answer(digits: usize) -> Said {
        Said::Done {
            what: "7".repeat(digits),
        }
    }

    proptest! {
        #[test]
        fn what_is_said_is_heard_however_the_pipe_cuts_it(
            eighths in proptest::collection::vec(0_u8..=8, 0..20),
            noise in "[^\n]{0,40}",
            cut in 1_usize..70,
        ) {
            let share = |eighths| Said::Progress {
                done: f64::from(eighths) / 8.0,
                bytes: (eighths == 8).then_some(u64::MAX),
            };
            let mut said: Vec<Said> = eighths.into_iter().map(share).collect();
            said.push(answer(10_000));
            let bytes: Vec<u8> = said
                .iter()
                .flat_map(|said| [line(said), format!("{noise}\n").into_bytes()].concat())
                .collect();
            let mut decoder = Decoder::default();
            let heard: Vec<Said> = bytes.chunks(cut).flat_map(|piece| decoder.take(piece)).collect();
            prop_assert_eq!(heard, said);
        }

        #[test]
        fn no_bytes_at_all_make_the_worker_fail_or_grow(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..40),
        ) {
            let mut decoder = Decoder::default();
            let mut tail = Tail::default();
            for piece in &pieces {
                decoder.take::<String>(piece);
                tail.take(piece);
                prop_assert!(decoder.rest.len() <= MAX_LINE_BYTES && tail.0.len() <= MAX_TAIL_BYTES);
            }
            prop_assert!(tail.reason().chars().count() <= MAX_REASON_CHARS);
            decoder.take::<String>(b"\n");
            let said = Said::Progress { done: 0.5, bytes: None };
            prop_assert_eq!(decoder.take(&line(&said)), [said]);
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_kept() {
        let mut decoder = Decoder::default();
        for _ in 0..1000 {
            assert_eq!(decoder.take::<String>(&[b'['; 1000]), []);
            assert!(decoder.rest.len() <= MAX_LINE_BYTES);
        }
        assert_eq!(
            decoder.take::<String>(b"\n"),
            [],
            "the end of a line that was too long was taken for one"
        );
        let said = answer(10_000);
        assert_eq!(decoder.take(&line(&said)), [said]);
    }
}
