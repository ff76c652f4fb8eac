//! Measured rows, their medians and their table.

use std::fmt;

/// Measurements of one run at one n, in seconds.
pub(crate) struct Row {
    pub(crate) n: u64,
    /// In the order of [`Row::HEADER`].
    pub(crate) seconds: [f64; 6],
}

/// All runs at one n.
pub(crate) struct Summary {
    pub(crate) n: u64,
    runs: Vec<[f64; 6]>,
}

/// A quotient of two columns.
#[derive(Clone, Copy)]
pub(crate) struct Ratio {
    pub(crate) name: &'static str,
    of: usize,
    over: usize,
}

/// Ours over GMP's, value and digits, and what the certificate adds.
pub(crate) const RATIOS: [Ratio; 3] = [
    Ratio {
        name: "value",
        of: 1,
        over: 0,
    },
    Ratio {
        name: "digits",
        of: 4,
        over: 3,
    },
    Ratio {
        name: "certificate",
        of: 5,
        over: 4,
    },
];

impl Row {
    pub(crate) const HEADER: &str = "n\tgmp\tours\tmalachite\tgmp digits\tour digits\tcertificate";
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.n)?;
        self.seconds
            .iter()
            .try_for_each(|seconds| write!(formatter, "\t{seconds:.9}"))
    }
}

impl Summary {
    /// The median of the runs.
    pub(crate) fn seconds(&self, column: usize) -> f64 {
        median(&mut self.runs.iter().map(|run| run[column]).collect::<Vec<_>>())
    }

    /// The median of each run's own quotient.
    pub(crate) fn ratio(&self, ratio: Ratio) -> f64 {
        median(&mut self.ratios(ratio))
    }

    fn ratios(&self, ratio: Ratio) -> Vec<f64> {
        self.runs
            .iter()
            .map(|run| run[ratio.of] / run[ratio.over])
            .collect()
    }
}

/// The middle one, or the upper of two.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Reads rows, in the order of their first n.
pub(crate) fn summaries(text: &str) -> Result<Vec<Summary>, String> {
    let mut summaries: Vec<Summary> = Vec::new();
    for line in text.lines().filter(|line| *line != Row::HEADER) {
        let fault = || format!("no row of numbers: {line}");
        let mut fields = line.split('\t');
        let n = fields
            .next()
            .and_then(|field| field.parse().ok())
            .ok_or_else(fault)?;
        let seconds: Vec<f64> = fields
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| fault())?;
        let run = seconds.try_into().map_err(|_| fault())?;
        match summaries.iter_mut().find(|summary| summary.n == n) {
            Some(summary) => summary.runs.push(run),
            None => summaries.push(Summary { n, runs: vec![run] }),
        }
    }
    Ok(summaries)
}

/// A Markdown table of milliseconds, with every run's ratio.
pub(crate) fn table(summaries: &[Summary]) -> String {
    let mut text = String::from(
        "| n | GMP, ms | malachite, ms | ours, ms | ours/GMP | GMP digits, ms | our digits, ms | ours/GMP | certificate/ours |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for summary in summaries {
        let milliseconds = |column: usize| format!("{:.4}", 1e3 * summary.seconds(column));
        let ratio = |ratio: Ratio| {
            let runs: Vec<String> = summary
                .ratios(ratio)
                .iter()
                .map(|run| format!("{run:.3}"))
                .collect();
            format!("{:.3} ({})", summary.ratio(ratio), runs.join(", "))
        };
        let [value, digits, certificate] = RATIOS.map(ratio);
        let [gmp, ours, malachite, gmp_digits, our_digits, _] = std::array::from_fn(milliseconds);
        text += &format!(
            "| {} | {gmp} | {malachite} | {ours} | {value} | {gmp_digits} | {our_digits} | {digits} | {certificate} |\n",
            summary.n
        );
    }
    text
}
