//! The part of a value that is asked for.

use std::ops::Range;

use axum::http::{HeaderMap, header};

use crate::place::{MAX_INTEGER, Params};
use crate::problem::Problem;

/// The digits that a query asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    All,
    Head(u64),
    Tail(u64),
}

/// The digits that are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Extent {
    /// The part that the query names.
    Whole(Range<u64>),
    /// A range of all digits, and their number.
    Range(Range<u64>, u64),
    /// A range that has none of the digits.
    Nothing,
}

impl Part {
    pub(super) fn take(mut params: Params) -> Result<Self, Problem> {
        let (head, tail) = (params.read("head", count)?, params.read("tail", count)?);
        params.end("head and tail")?;
        match (head, tail) {
            (None, None) => Ok(Self::All),
            (Some(head), None) => Ok(Self::Head(head)),
            (None, Some(tail)) => Ok(Self::Tail(tail)),
            (Some(_), Some(tail)) => {
                Err(params.refuse("tail", "head is given as well; ask twice", &tail.to_string()))
            }
        }
    }

    /// The entity tag of the part of a value with this hash.
    pub(super) fn tag(self, blake3: &str) -> String {
        // Each part is kept by its own tag, so that no cache takes the first digits for all of them.
        match self {
            Self::All => format!("\"{blake3}\""),
            Self::Head(count) => format!("\"{blake3}-head-{count}\""),
            Self::Tail(count) => format!("\"{blake3}-tail-{count}\""),
        }
    }

    /// Finds the digits to be sent of a value of `length` digits; only of all of them a range is taken.
    pub(super) fn extent(self, length: u64, headers: &HeaderMap, tag: &str) -> Extent {
        match self {
            Self::Head(count) => Extent::Whole(0..count.min(length)),
            Self::Tail(count) => Extent::Whole(length.saturating_sub(count)..length),
            Self::All => {
                let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
                // A range of another value than the client has would not fit to its part, so it gets all.
                let is_of_this = text(header::IF_RANGE).is_none_or(|given| given == tag);
                let range = text(header::RANGE).filter(|_| is_of_this);
                range
                    .and_then(|range| range_in(range, length))
                    .unwrap_or(Extent::Whole(0..length))
            }
        }
    }
}

impl Extent {
    /// The digits; none where the range has none.
    pub(super) fn range(&self) -> Option<Range<u64>> {
        match self {
            Self::Whole(range) | Self::Range(range, _) => Some(range.clone()),
            Self::Nothing => None,
        }
    }

    /// The value of the header `Content-Range`; absent unless a range is sent.
    pub(super) fn content_range(&self) -> Option<String> {
        match self {
            // A range without a digit is `Nothing`, so that the end is over 0.
            Self::Range(range, length) => Some(format!("bytes {}-{}/{length}", range.start, range.end - 1)),
            _ => None,
        }
    }
}

/// Reads one range; what is none, or several, is passed over, as the standard has it.
fn range_in(text: &str, length: u64) -> Option<Extent> {
    let (first, last) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    let number = |text: &str| {
        // `parse` alone takes `+1` as well. Several ranges end here, too: a comma is no digit.
        let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        // A number that is too long for u64 is a position behind the end of every value.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = match (first, last) {
        ("", last) => length.saturating_sub(number(last)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if range.start < range.end {
        Extent::Range(range, length)
    } else {
        Extent::Nothing
    })
}

fn count(text: &str) -> Result<u64, &'static str> {
    text.parse()
        .ok()
        .filter(|count| (1..=MAX_INTEGER).contains(count))
        .ok_or("not a number of digits, from 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_the_standard_has_it() {
        let part = |start, end| Some(Extent::Range(start..end, 10));
        for (text, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=2-5", part(2, 6)),
            ("bytes=5-", part(5, 10)),
            ("bytes=-3", part(7, 10)),
            ("bytes=-99", part(0, 10)),
            ("bytes=0-99999999999999999999", part(0, 10)),
            ("bytes=10-", Some(Extent::Nothing)),
            ("bytes=10-20", Some(Extent::Nothing)),
            ("bytes=-0", Some(Extent::Nothing)),
            ("bytes=5-2", None),
            ("bytes=", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(range_in(text, 10), expected, "{text}");
        }
    }
}
