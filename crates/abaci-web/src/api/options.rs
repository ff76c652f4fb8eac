//! What a submission says beside its jobs: when they may start, how long they may take, a key, and a wait for the result.

use std::time::Duration;

use axum::http::HeaderMap;
use durable_jobs::client::{Delay, SubmitOptions};
use durable_jobs::record::{Date, DateError, Label};
use utoipa::IntoParams;

use crate::place::Params;
use crate::problem::Problem;

/// The longest time that an answer waits for a result.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The options of a submission, which count for each of its jobs.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what read takes")]
pub(super) struct OptionParams {
    /// The time that the jobs wait, at least, before they are started, such as `30s` or `2h`.
    #[param(required = false)]
    delay: String,
    /// The moment from which they may be started: `2026-12-24T18:00:00Z`, or milliseconds since 1970-01-01 UTC.
    #[param(required = false)]
    at: String,
    /// The time after its first start at which a job is cancelled, such as `5m`.
    #[param(required = false)]
    timeout: String,
    /// A key that one job of the queue holds at a time: while that job waits or runs, it is the answer.
    #[param(required = false)]
    dedup: String,
}

/// The options that were given.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) submit: SubmitOptions,
    pub(super) dedup: Option<Label>,
    /// The time to wait for the result; absent where nobody asked for it.
    pub(super) wait: Option<Duration>,
}

impl Options {
    pub(super) fn read(mut params: Params, headers: &HeaderMap) -> Result<Self, Problem> {
        let delay = params.read("delay", period)?.map(Delay::For);
        let at = params.read("at", moment)?;
        if let (Some(_), Some(at)) = (delay, at) {
            return Err(params.refuse("at", "delay is given as well; give one of both", &at.to_string()));
        }
        let timeout = params.read("timeout", period)?;
        let dedup = params.read("dedup", str::parse::<Label>)?;
        params.end("delay, at, timeout and dedup")?;
        Ok(Self {
            submit: SubmitOptions {
                timeout,
                delay: delay.or(at.map(Delay::Until)),
                ..SubmitOptions::default()
            },
            dedup,
            wait: wait_in(headers),
        })
    }
}

/// Reads `Prefer: wait=N`; what is not understood is passed over, as the standard has it.
fn wait_in(headers: &HeaderMap) -> Option<Duration> {
    let all = headers.get_all("prefer").into_iter();
    let mut preferences = all
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split([',', ';']));
    let seconds = preferences.find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        is_wait
            .then(|| value.trim().trim_matches('"').parse().ok())
            .flatten()
    });
    // A longer wait is cut and not refused: Preference-Applied says which one counts.
    seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT))
}

fn period(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "not a duration; write it such as 20ms, 30s or 5m")
}

fn moment(text: &str) -> Result<i64, DateError> {
    text.parse().or_else(|_| Date::utc(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_understood_or_passed_over() {
        for (text, seconds) in [
            ("wait=5", Some(5)),
            ("respond-async, Wait = \"7\"", Some(7)),
            ("respond-async; wait=9", Some(9)),
            ("wait=0", Some(0)),
            ("wait=99999", Some(60)),
            ("wait=-1", None),
            ("wait", None),
            ("waiting=5", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", text.parse().unwrap());
            assert_eq!(wait_in(&headers), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
