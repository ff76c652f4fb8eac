//! Numbers, times and reasons as people read them.

use std::time::Duration;

use durable_jobs::client::{Limit, Rate, Waiting};
use durable_jobs::record::{Date, WaitReason, about, visible};
use serde_json::{Map, Value};

/// A moment, as text and as machines read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShownTime {
    /// RFC 3339, in UTC.
    pub(super) machine: String,
    /// In UTC to the second, such as `2026-11-23 04:55:29 UTC`.
    pub(super) text: String,
    /// Relative to now, such as `14 s ago`.
    pub(super) ago: String,
}

impl ShownTime {
    /// Writes a moment in milliseconds since 1970, seen from another one.
    pub(super) fn of(milliseconds: i64, now_ms: i64) -> Self {
        let machine = match Date::time(milliseconds) {
            Some(instant) => humantime::format_rfc3339_millis(instant).to_string(),
            None => "1970-01-01T00:00:00Z".to_owned(),
        };
        let text = match (machine.split_once('T'), machine.get(11..19)) {
            (Some((date, _)), Some(time)) => format!("{date} {time} UTC"),
            _ => machine.clone(),
        };
        Self {
            machine,
            text,
            ago: relative(milliseconds, now_ms),
        }
    }

    /// The moment for people and machines, relative to now.
    pub(super) fn html(&self) -> String {
        // Digits, letters and signs of ours only.
        format!(
            "<time datetime=\"{}\" title=\"{}\">{}</time>",
            self.machine, self.text, self.ago
        )
    }

    /// The time of the day to the second.
    pub(super) fn clock(&self) -> &str {
        self.text.get(11..19).unwrap_or(&self.text)
    }
}

/// Makes a text of a job fit to be shown: what would hide or turn the direction of writing is written by its number.
pub(super) fn shown(text: &str) -> String {
    visible(text).into_owned()
}

/// Shortens an id for a table: `01a209ec…3fff`.
pub(super) fn short_id(id: &str) -> String {
    // By characters: an id may be any text, and a place in its bytes within a character would panic.
    let letters: Vec<char> = id.chars().collect();
    match (
        letters.len() > 20,
        letters.get(..8),
        letters.len().checked_sub(4).and_then(|at| letters.get(at..)),
    ) {
        (true, Some(head), Some(tail)) => shown(&format!(
            "{}…{}",
            head.iter().collect::<String>(),
            tail.iter().collect::<String>()
        )),
        _ => shown(id),
    }
}

/// Writes a number in groups of three digits, such as `1,000,000`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Takes the commas out of a number in groups of three digits, such as `1,000,000`; nothing where they stand elsewhere, as
/// between several numbers. A text without commas stays as it is.
pub(super) fn ungrouped(text: &str) -> Option<String> {
    let Some((first, others)) = text.split_once(',') else {
        return Some(text.to_owned());
    };
    let is_digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let is_first = (1..=3).contains(&first.len()) && !first.starts_with('0') && is_digits(first);
    let is_other = |group: &str| group.len() == 3 && is_digits(group);
    (is_first && others.split(',').all(is_other)).then(|| text.replace(',', ""))
}

/// Writes a number of things, such as `1 job` or `12 jobs`.
pub(super) fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number))
}

/// Writes a length of time in its one or two largest units, such as `0.4 ms` or `2 min 5 s`.
pub(super) fn took(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    match seconds {
        ..0.1 => format!("{:.1} ms", seconds * 1e3),
        0.1..1.0 => format!("{:.0} ms", seconds * 1e3),
        1.0..60.0 => format!("{seconds:.1} s"),
        // Rounded down, or 119.6 s would be `1 min 60 s`.
        60.0..3600.0 => format!(
            "{:.0} min {:.0} s",
            (seconds / 60.0).floor(),
            (seconds % 60.0).floor()
        ),
        3600.0..172_800.0 => {
            format!(
                "{:.0} h {:.0} min",
                (seconds / 3600.0).floor(),
                (seconds % 3600.0 / 60.0).floor()
            )
        }
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

/// Writes the time between two moments, which are known to the millisecond.
pub(super) fn span(from_ms: i64, to_ms: i64) -> String {
    match to_ms.saturating_sub(from_ms) {
        ..1 => "under 1 ms".to_owned(),
        milliseconds @ 1..1_000 => format!("{milliseconds} ms"),
        _ => took(seconds_between(from_ms, to_ms)),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a span in milliseconds is far below 2^52"
)]
pub(super) fn seconds_between(from_ms: i64, to_ms: i64) -> f64 {
    to_ms.saturating_sub(from_ms).max(0) as f64 / 1e3
}

/// Writes a number of bytes.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(bytes: u64) -> String {
    let size = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", size / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", size / 1e6),
        _ => format!("{:.1} GB", size / 1e9),
    }
}

/// Writes a share as a whole number of per cent; only all of it is 100.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", (share.clamp(0.0, 1.0) * 100.0).floor())
}

/// Names a job by what it was asked for: `F(46)`, or its workflow.
pub(super) fn title(workflow: &str, input: &Map<String, Value>) -> String {
    match input.get("n") {
        Some(n) => format!("F({})", index(n)),
        None => shown(workflow),
    }
}

/// Writes an index, which may be a number or text.
pub(super) fn index(n: &Value) -> String {
    let number = n.as_u64().or_else(|| n.as_str()?.parse().ok());
    match (number, n.as_str()) {
        (Some(number), _) => grouped(number),
        (None, Some(text)) => shown(text),
        (None, None) => shown(&n.to_string()),
    }
}

/// Writes a detail of a job's input.
pub(super) fn detail(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Number(_) => index(value),
        other => shown(&other.to_string()),
    }
}

/// Says why a job waits in one sentence, such as `3rd of 12 in queue fibonacci; 2 of 2 slots are in use; about 40 s.`
pub(super) fn why(waiting: &Waiting, now_ms: i64) -> String {
    let queue = shown(&waiting.queue);
    let place = waiting.position.map_or_else(
        || format!("In queue {queue}"),
        |position| {
            format!(
                "{} of {} in queue {queue}",
                ordinal(position),
                grouped(waiting.of)
            )
        },
    );
    let estimate = waiting.estimate_seconds.map(about);
    let parts = [Some(place), Some(reason(waiting, now_ms)), estimate];
    format!("{}.", parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

/// Says why nothing starts, without its place in the queue.
pub(super) fn reason(waiting: &Waiting, now_ms: i64) -> String {
    match &waiting.reason {
        WaitReason::Paused => "the queue is paused".to_owned(),
        WaitReason::Delayed { until_ms } => {
            let until = ShownTime::of(*until_ms, now_ms);
            format!("it is to start at {}, {}", until.text, until.ago)
        }
        WaitReason::RateLimited { limit, next_start_ms } => {
            let next = next_start_ms.map(|next| ShownTime::of(next, now_ms).clock().to_owned());
            let next = next.map_or_else(String::new, |next| format!(", the next one at {next} UTC"));
            format!("the queue starts {}{next}", rate(*limit))
        }
        WaitReason::Concurrency { limit } => format!("the queue runs {limit} at once at most, and they run"),
        WaitReason::Busy { slots, in_use } => format!("{in_use} of {slots} slots are in use"),
        WaitReason::NoWorker => {
            let queue = shown(&waiting.queue);
            format!("no worker listens on queue {queue}; start one with: abaci serve --queue {queue}")
        }
        WaitReason::Version => {
            format!(
                "no worker of version {} is running; start the program of that version",
                shown(&waiting.version)
            )
        }
        WaitReason::Type { workflow } => format!("no worker knows jobs of type {}", shown(workflow)),
        _ => "a worker is about to start it".to_owned(),
    }
}

/// Writes a rate, such as `100 jobs in 1m`.
pub(super) fn rate(rate: Rate) -> String {
    let time = Duration::try_from_secs_f64(rate.seconds).unwrap_or_default();
    format!(
        "{} in {}",
        counted(u64::from(rate.starts), "job"),
        humantime::format_duration(time)
    )
}

/// Writes the limits of a queue; nothing where it has none.
pub(super) fn limits(limit: Limit) -> Option<String> {
    let starts = limit.rate.map(|limit| format!("starts {}", rate(limit)));
    let runs = limit.concurrency.map(|limit| format!("runs {limit} at once"));
    let limits: Vec<String> = [starts, runs].into_iter().flatten().collect();
    (!limits.is_empty()).then(|| limits.join(", "))
}

/// Completes a moment that is a date, or has no seconds.
pub(super) fn whole_moment(text: &str) -> String {
    match text.len() {
        10 if text.contains('-') => format!("{text} 00:00:00"),
        16 if text.contains(':') => format!("{text}:00"),
        _ => text.to_owned(),
    }
}

/// The class of a state in the stylesheet.
pub(super) fn class_of(state: &str) -> &'static str {
    match state {
        "succeeded" => "ok",
        "running" | "busy" => "busy",
        "failed" | "parked" | "gone" => "bad",
        "draining" | "delayed" | "silent" => "warn",
        _ => "idle",
    }
}

fn ordinal(number: u64) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{}{ending}", grouped(number))
}

fn relative(milliseconds: i64, now_ms: i64) -> String {
    let seconds = now_ms.saturating_sub(milliseconds) / 1_000;
    let length = match seconds.unsigned_abs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    };
    if seconds < 0 {
        format!("in {length}")
    } else {
        format!("{length} ago")
    }
}

#[cfg(test)]
mod tests {
    use durable_jobs::record::Details;

    use super::*;
    use crate::views::fields_of;

    #[test]
    fn numbers_and_times_are_written_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(took(0.0004), "0.4 ms");
        assert_eq!(took(125.0), "2 min 5 s");
        assert_eq!(percent(0.999), "99 %");
        assert_eq!(ordinal(1), "1st");
        assert_eq!(ordinal(112), "112th");
        assert_eq!(short_id("01a209ec-260d-76df-ba3b-47479eec3fff"), "01a209ec…3fff");
        assert_eq!(short_id("mine"), "mine");
    }

    #[test]
    fn only_commas_between_groups_of_three_digits_are_taken_out() {
        for (text, plain) in [
            ("1,000", Some("1000")),
            ("12,345,678", Some("12345678")),
            ("1000", Some("1000")),
            ("mine", Some("mine")),
        ] {
            assert_eq!(ungrouped(text).as_deref(), plain, "{text}");
        }
        for text in [
            "10,20,30", "1,00", "1000,000", "1,000,", ",000", "0,001", "1,+10", "1, 000",
        ] {
            assert_eq!(ungrouped(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_is_in_utc_and_relative() {
        let moment = ShownTime::of(1_795_409_729_100, 1_795_409_743_100);
        assert_eq!(moment.text, "2026-11-23 04:55:29 UTC");
        assert_eq!(moment.machine, "2026-11-23T04:55:29.100Z");
        assert_eq!((moment.ago.as_str(), moment.clock()), ("14 s ago", "04:55:29"));
        assert_eq!(ShownTime::of(9_000, 1_000).ago, "in 8 s");
        for wrong in [i64::MIN, i64::MAX, -1] {
            assert!(!ShownTime::of(wrong, 0).text.is_empty());
        }
    }

    #[test]
    fn a_job_whose_input_cannot_be_read_has_the_title_of_its_type() {
        let unread = Details::default()
            .with("n", Value::Null)
            .with("algorithm", Value::Null);
        assert_eq!(title("its_type", &fields_of(&unread)), "its_type");
        let read = Details::default().with("n", 46);
        assert_eq!(title("its_type", &fields_of(&read)), "F(46)");
    }

    #[test]
    fn an_index_of_any_size_keeps_its_digits() {
        assert_eq!(
            index(&Value::from("18446744073709551615")),
            "18,446,744,073,709,551,615"
        );
        assert_eq!(index(&Value::from("<b>\u{202e}")), r"<b>\u{202e}");
    }
}
