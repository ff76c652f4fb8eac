//! The cost of jobs in words, before they are submitted.

use durable_jobs::record::about;
use fibonacci_jobs::Request;
use fibonacci_jobs::record::Entry;

use super::words::{bytes, counted, grouped};

/// Says what jobs would cost.
pub(super) fn estimate(entries: &[Entry]) -> Vec<String> {
    if let [entry] = entries {
        let Request { n, algorithm, .. } = entry.request;
        let (digits, memory) = (entry.request.estimate().digits, entry.request.cost().memory_bytes);
        return vec![
            format!("F({}) has {}.", grouped(n), counted(digits, "digit")),
            format!(
                "It takes {} with {}, and up to {} of memory.",
                about_time(&[entry]),
                algorithm.name(),
                bytes(memory)
            ),
        ];
    }
    let all: Vec<&Entry> = entries.iter().collect();
    let digits = entries
        .iter()
        .map(|entry| entry.request.estimate().digits)
        .max()
        .unwrap_or_default();
    let memory = entries
        .iter()
        // The most of one: in one slot they run one after the other.
        .map(|entry| entry.request.cost().memory_bytes)
        .max()
        .unwrap_or_default();
    vec![
        format!(
            "{}; the longest value has {}.",
            counted(entries.len() as u64, "job"),
            counted(digits, "digit")
        ),
        format!(
            "Together they take {} of one worker, and one of them up to {} of memory.",
            about_time(&all),
            bytes(memory)
        ),
    ]
}

/// Says how long jobs compute, no closer than is known.
fn about_time(entries: &[&Entry]) -> String {
    let seconds: f64 = entries.iter().map(|entry| entry.request.cost().seconds).sum();
    match seconds {
        ..0.1 => "well under a second".to_owned(),
        0.1..1.0 => "about a second".to_owned(),
        _ => about(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_says_digits_time_and_memory() {
        let said = estimate(&[Entry::read("1000000", None).ok().unwrap()]).concat();
        for words in ["F(1,000,000) has 208,988 digits", "takes", "memory"] {
            assert!(said.contains(words), "{said}");
        }
    }
}
