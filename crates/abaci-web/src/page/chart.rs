//! The jobs that ended, minute by minute, as bars with their numbers.

use durable_jobs::client::{Ended, Throughput};

use super::words::{counted, grouped};
use crate::standing::MINUTES;

/// The height of the highest bar.
const HEIGHT: f64 = 56.0;

const MINUTE_MS: i64 = 60_000;

/// The bars of the last minutes.
pub(super) struct Chart {
    pub(super) minutes: Vec<Minute>,
    /// Those that ended, and how fast.
    pub(super) sentence: String,
    pub(super) succeeded: String,
    pub(super) others: String,
    /// The most of one minute.
    pub(super) most: String,
}

/// A minute as a bar.
pub(super) struct Minute {
    /// When it began, in UTC, such as `04:55`.
    pub(super) at: String,
    pub(super) succeeded: String,
    pub(super) others: String,
    /// The place from the left, in per cent.
    pub(super) x: String,
    pub(super) width: String,
    /// The top and the height of the part of those that succeeded.
    pub(super) ok: BarPart,
    pub(super) bad: BarPart,
}

/// A part of a bar, in pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BarPart {
    pub(super) y: String,
    pub(super) height: String,
}

impl Chart {
    /// Draws what ended, nothing where no job did.
    pub(super) fn of(seen: &Throughput) -> Option<Self> {
        let minutes = by_minute(seen);
        let total = minutes
            .iter()
            .map(|(_, ended)| *ended)
            .fold(Ended::default(), add);
        let all = total.succeeded + total.others;
        let most = minutes
            .iter()
            .map(|(_, ended)| ended.succeeded + ended.others)
            .max()?;
        if most == 0 {
            return None;
        }
        let slot = 100.0 / f64::from(u32::try_from(minutes.len()).unwrap_or(u32::MAX));
        let bars = minutes.iter().zip(0u32..).map(|((at_ms, ended), place)| Minute {
            at: clock(*at_ms),
            succeeded: grouped(ended.succeeded),
            others: grouped(ended.others),
            x: format!("{:.2}%", slot * (f64::from(place) + 0.1)),
            width: format!("{:.2}%", slot * 0.8),
            ok: part(0, ended.succeeded, most),
            bad: part(ended.succeeded, ended.others, most),
        });
        let span = minutes.len() as u64;
        Some(Self {
            minutes: bars.collect(),
            sentence: format!(
                "{} in {}, {}",
                counted(all, "job"),
                counted(span, "minute"),
                pace(all, span)
            ),
            succeeded: grouped(total.succeeded),
            others: grouped(total.others),
            most: grouped(most),
        })
    }
}

/// Adds the spans of each minute of the clock; the first one may have begun before them, and is left out then.
fn by_minute(seen: &Throughput) -> Vec<(i64, Ended)> {
    let mut minutes: Vec<(i64, Ended)> = Vec::new();
    for (span, place) in seen.spans.iter().zip(0i64..) {
        let at_ms = seen.since_ms + place * seen.span_ms;
        // Spans begin at quarters of a minute, so that their fifteen minutes may touch sixteen of the clock.
        let minute = at_ms - at_ms.rem_euclid(MINUTE_MS);
        match minutes.last_mut() {
            Some((last, ended)) if *last == minute => *ended = add(*ended, *span),
            _ => minutes.push((minute, *span)),
        }
    }
    if minutes.len() > MINUTES as usize {
        minutes.remove(0);
    }
    minutes
}

fn add(one: Ended, other: Ended) -> Ended {
    Ended {
        succeeded: one.succeeded + other.succeeded,
        others: one.others + other.others,
    }
}

/// Places so many on top of those below; what is there is seen.
#[expect(clippy::cast_precision_loss, reason = "a tenth of a pixel is shown")]
fn part(below: u64, count: u64, most: u64) -> BarPart {
    let pixels = |count: u64| {
        let height = count as f64 / most as f64 * HEIGHT;
        if count > 0 { height.max(2.0) } else { 0.0 }
    };
    let (below, height) = (pixels(below), pixels(count));
    BarPart {
        // Four pixels stay free at the top: a part that was raised to two pixels lifts the other one.
        y: format!("{:.1}", HEIGHT + 4.0 - below - height),
        height: format!("{height:.1}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a tenth is shown")]
fn pace(jobs: u64, minutes: u64) -> String {
    let per_second = jobs as f64 / (minutes * 60) as f64;
    if per_second >= 1.0 {
        format!("{per_second:.1} a second")
    } else {
        format!("{:.1} a minute", per_second * 60.0)
    }
}

/// The time of the day in hours and minutes.
fn clock(at_ms: i64) -> String {
    let minutes = at_ms.div_euclid(MINUTE_MS).rem_euclid(24 * 60);
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 04:55:15 on some day.
    const AT: i64 = 1_795_409_715_000;

    fn throughput(spans: &[(usize, u64, u64)]) -> Throughput {
        let mut all = vec![Ended::default(); 60];
        for (place, succeeded, others) in spans {
            all[*place] = Ended {
                succeeded: *succeeded,
                others: *others,
            };
        }
        Throughput {
            since_ms: AT - 59 * 15_000,
            span_ms: 15_000,
            spans: all,
        }
    }

    #[test]
    fn spans_are_told_by_the_minutes_of_the_clock() {
        // The last two spans are of this minute, the two before of the last one.
        let chart = Chart::of(&throughput(&[(59, 3, 0), (58, 4, 1), (57, 80, 0), (56, 0, 2)])).unwrap();
        assert_eq!(chart.minutes.len(), 15);
        let last = &chart.minutes[14];
        assert_eq!(
            (last.at.as_str(), last.succeeded.as_str(), last.others.as_str()),
            ("04:55", "7", "1")
        );
        let before = &chart.minutes[13];
        assert_eq!((before.at.as_str(), before.succeeded.as_str()), ("04:54", "80"));
        assert_eq!(chart.minutes[0].at, "04:41");
        assert_eq!(chart.sentence, "90 jobs in 15 minutes, 6.0 a minute");
        assert_eq!(
            (
                chart.succeeded.as_str(),
                chart.others.as_str(),
                chart.most.as_str()
            ),
            ("87", "3", "82")
        );
    }

    #[test]
    fn the_highest_bar_fills_the_chart_and_a_job_is_seen() {
        let chart = Chart::of(&throughput(&[(59, 0, 1), (55, 1_000, 1_000)])).unwrap();
        let (high, low) = (&chart.minutes[13], &chart.minutes[14]);
        assert_eq!(
            high.bad,
            BarPart {
                y: "4.0".to_owned(),
                height: "28.0".to_owned()
            }
        );
        assert_eq!(low.bad.height, "2.0");
        assert!(Chart::of(&throughput(&[])).is_none());
        let cut = Throughput {
            spans: Vec::new(),
            ..throughput(&[])
        };
        assert!(Chart::of(&cut).is_none());
    }
}
