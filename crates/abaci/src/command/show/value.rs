//! `abaci show --value`: the digits of a value, or of its ends, on stdout.
//!
//! The whole value is checked before a digit of it is printed, and hashed again while it is printed: nothing holds all of
//! it, and it may be changed between the two. That is an error then, and what was printed is not to be believed.

use std::ops::Range;

use durable_jobs::Error;
use durable_jobs::artifact::{self, BucketAccess};
use durable_jobs::record::JobDetail;
use fibonacci_jobs::JobResult;

use crate::database_access::on_blocking_thread;
use crate::exit::{Exit, Failed};
use crate::output;
use crate::recorded::fibonacci_result;

/// The line between both ends of a value.
const GAP: &[u8] = "\n…\n".as_bytes();

/// The ends of a value that are printed; neither for all of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValueEnds {
    pub(super) head: Option<u64>,
    pub(super) tail: Option<u64>,
}

/// Separates what is printed from what is passed over, in the order of the digits.
struct Selection {
    digits: u64,
    /// The digits that are passed over.
    gap: Range<u64>,
    /// The number of digits so far.
    offset: u64,
}

/// Prints the digits of a job's value, checked.
///
/// # Errors
/// With exit code 1 when the value is not F(n), or is not there.
pub(super) async fn print(detail: &JobDetail, ends: ValueEnds, access: BucketAccess) -> anyhow::Result<Exit> {
    let result = fibonacci_result(detail)?;
    on_blocking_thread(move || print_checked(&result, ends, &access)).await??;
    Ok(Exit::Done)
}

fn print_checked(result: &JobResult, ends: ValueEnds, access: &BucketAccess) -> anyhow::Result<()> {
    result
        .verify_all(access)
        .map_err(|error| Failed::no(error.to_string()))?;
    let mut selection = Selection::new(result.digits, ends);
    let mut print = |piece: &[u8]| selection.parts(piece).into_iter().try_for_each(output::bytes);
    match (&result.value, &result.artifact) {
        (None, Some(record)) => artifact::try_read(record, access, print).map_err(unless_ours)?,
        // There is a value, or the check would have failed.
        (value, _) => print(value.as_deref().unwrap_or_default().as_bytes())?,
    }
    output::line("")
}

/// Turns a fault of an artifact into the answer no; any other error, such as a closed pipe, stays as it is.
fn unless_ours(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Error>() {
        Ok(error) => Failed::no(error.to_string()).into(),
        Err(error) => error,
    }
}

impl Selection {
    fn new(digits: u64, ends: ValueEnds) -> Self {
        let start = match ends {
            ValueEnds { head: Some(head), .. } => head.min(digits),
            ValueEnds { tail: Some(_), .. } => 0,
            _ => digits,
        };
        let end = ends.tail.map_or(digits, |tail| digits.saturating_sub(tail));
        Self {
            digits,
            gap: start..end.max(start),
            offset: 0,
        }
    }

    /// Returns the part of the next piece that is printed.
    fn parts<'a>(&mut self, piece: &'a [u8]) -> [&'a [u8]; 3] {
        let at = |position: u64| {
            let within = position.saturating_sub(self.offset);
            usize::try_from(within).map_or(piece.len(), |within| within.min(piece.len()))
        };
        let (head, tail) = (&piece[..at(self.gap.start)], &piece[at(self.gap.end)..]);
        let end = self.offset + piece.len() as u64;
        let is_between = 0 < self.gap.start && self.gap.start < self.gap.end && self.gap.end < self.digits;
        // True of one piece at most, however the digits are cut.
        let begins_tail = (self.offset..end).contains(&self.gap.end);
        self.offset = end;
        [head, if is_between && begins_tail { GAP } else { &[] }, tail]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str, piece_bytes: usize, head: Option<u64>, tail: Option<u64>) -> String {
        let mut selection = Selection::new(text.len() as u64, ValueEnds { head, tail });
        let pieces = text.as_bytes().chunks(piece_bytes);
        let parts = pieces.flat_map(|piece| selection.parts(piece)).flatten().copied();
        String::from_utf8(parts.collect()).unwrap()
    }

    #[test]
    fn the_ends_are_what_was_asked_for_however_the_digits_come() {
        for (head, tail, expected) in [
            (None, None, "0123456789"),
            (Some(3), None, "012"),
            (None, Some(3), "789"),
            (Some(3), Some(2), "012\n…\n89"),
            (Some(1), Some(8), "0\n…\n23456789"),
            (Some(4), Some(6), "0123456789"),
            (Some(9), Some(9), "0123456789"),
            (Some(u64::MAX), None, "0123456789"),
            (None, Some(u64::MAX), "0123456789"),
            (Some(10), Some(1), "0123456789"),
        ] {
            for piece_bytes in 1..12 {
                assert_eq!(
                    printed("0123456789", piece_bytes, head, tail),
                    expected,
                    "{head:?} and {tail:?} in pieces of {piece_bytes}"
                );
            }
        }
    }
}
