//! Numbers with a name and a unit, and what is made of several of them.

use std::fmt;
use std::fs;
use std::time::Duration;

/// One number that was measured.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    name: String,
    value: f64,
    unit: &'static str,
}

impl Reading {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
        }
    }

    pub(crate) fn milliseconds(name: impl Into<String>, time: Duration) -> Self {
        Self::new(name, time.as_secs_f64() * 1e3, "ms")
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<44} {:>10.2} {}", self.name, self.value, self.unit)
    }
}

/// The readings of all runs.
#[derive(Default)]
pub(crate) struct Readings(Vec<Reading>);

impl Readings {
    /// Prints the readings of one run and keeps them.
    pub(crate) fn add(&mut self, readings: Vec<Reading>) {
        for reading in readings {
            println!("  {reading}");
            self.0.push(reading);
        }
    }

    /// Prints each name with its median and every run.
    pub(crate) fn print_medians(&self) {
        println!("medians, then every run");
        let mut left: &[Reading] = &self.0;
        let mut told: Vec<&str> = Vec::new();
        while let Some((first, rest)) = left.split_first() {
            left = rest;
            if told.contains(&first.name.as_str()) {
                continue;
            }
            told.push(&first.name);
            let values: Vec<f64> = self
                .0
                .iter()
                .filter(|other| other.name == first.name)
                .map(|r| r.value)
                .collect();
            let median = Reading::new(&first.name, middle(&values), first.unit);
            let runs: Vec<String> = values.iter().map(|value| format!("{value:.2}")).collect();
            println!("  {median:<64} ({})", runs.join(", "));
        }
    }
}

/// The readings `name, p50`, `name, p90` and `name, p99` of some times.
pub(crate) fn percentiles(name: &str, times: &[Duration]) -> Vec<Reading> {
    let mut sorted = times.to_vec();
    sorted.sort();
    let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)];
    [50, 90, 99]
        .map(|percent| Reading::milliseconds(format!("{name}, p{percent}"), at(percent)))
        .to_vec()
}

/// The middle one of some times, the lower one of two.
pub(crate) fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[(sorted.len() - 1) / 2]
}

fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / 2]
}

/// The processor and how many of it there are.
pub(crate) fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = cpus
        .lines()
        .filter_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_start_matches(['\t', ' ', ':']))
        .collect();
    format!(
        "{} x {}",
        models.len(),
        models.first().unwrap_or(&"unknown processor")
    )
}

/// The load average of the last minute.
pub(crate) fn load() -> String {
    let all = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    all.split(' ').next().unwrap_or("unknown").to_owned()
}
