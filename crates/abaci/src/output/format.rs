//! Numbers and times as people read them.

use std::time::Duration;

use durable_jobs::client::{Limit, Rate};
use durable_jobs::record::Date;
use fibonacci_jobs::JobResult;
use indicatif::HumanCount;

/// Values of up to this many digits are printed whole on a line.
const WHOLE_DIGITS: usize = 40;

/// Number of digits at either end that stand for a longer value.
const END_DIGITS: usize = 12;

/// A time span in seconds, to the millisecond.
pub(crate) fn seconds(seconds: f64) -> String {
    format!("{seconds:.3} s")
}

/// The value of a result: whole where it fits a line, else both ends and its length.
pub(crate) fn digits_of(result: &JobResult) -> String {
    match &result.value {
        Some(value) if value.len() <= WHOLE_DIGITS => value.clone(),
        _ => {
            // By `get`: a row may hold anything, and an index within a character would panic.
            let head = result.head.get(..END_DIGITS).unwrap_or(&result.head);
            let tail_at = result.tail.len().saturating_sub(END_DIGITS);
            let tail = result.tail.get(tail_at..).unwrap_or(&result.tail);
            format!("{head}…{tail} ({} digits)", HumanCount(result.digits))
        }
    }
}

/// Writes a number of things, such as `1 job` or `12 jobs`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// A rate, such as `100 in 1m`.
pub(crate) fn rate(rate: Rate) -> String {
    let time = Duration::try_from_secs_f64(rate.seconds).unwrap_or_default();
    format!("{} in {}", rate.starts, humantime::format_duration(time))
}

/// The limits of a queue, such as `starts 100 in 1m and runs 2 at once at most`; empty where there is none.
pub(crate) fn limit(limit: &Limit) -> String {
    let starts = limit.rate.map(|limit| format!("starts {}", rate(limit)));
    let runs = limit
        .concurrency
        .map(|limit| format!("runs {limit} at once at most"));
    [starts, runs]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" and ")
}

/// A moment in milliseconds since 1970, in UTC to the second.
pub(crate) fn time(milliseconds: i64) -> String {
    match Date::time(milliseconds) {
        Some(moment) => humantime::format_rfc3339_seconds(moment).to_string(),
        None => format!("{milliseconds} ms"),
    }
}

/// Writes the time from one moment to another by the same clock, both in milliseconds since 1970, in its one largest unit.
pub(crate) fn age(milliseconds: i64, now_ms: i64) -> String {
    // A moment ahead of the clock counts as now.
    match u64::try_from(now_ms.saturating_sub(milliseconds)).unwrap_or_default() / 1_000 {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_in_utc() {
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20Z");
    }
}
