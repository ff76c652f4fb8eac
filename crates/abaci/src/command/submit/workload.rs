//! The jobs of a submission: indices on the command line, from a file, or at random.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use fibonacci_jobs::record::RequestError;
use fibonacci_jobs::{Algorithm, Request};
use serde_json::Value;

use super::random::{IndexRange, Random};
use crate::exit::Failed;
use crate::output;

/// The sources of requests.
#[derive(Debug, Args)]
pub(super) struct Workload {
    /// Indices, or requests such as '{"n": 100, "algorithm": "doubling"}'
    #[arg(value_name = "N", allow_negative_numbers = true)]
    indices: Vec<String>,
    /// Submit this many indices drawn at random
    #[arg(long, value_name = "COUNT", requires = "range")]
    random: Option<usize>,
    /// Where random indices lie, such as 1000..=2000
    #[arg(long, value_name = "A..=B", requires = "random")]
    range: Option<IndexRange>,
    /// Seed of the random indices, to draw the same again
    #[arg(long, value_name = "SEED", requires = "random")]
    seed: Option<u64>,
    /// File with one request per line; - for stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
}

impl Workload {
    /// Reads every request, `algorithm` being that of those that name none; absent for the one for each index.
    pub(super) fn requests(&self, algorithm: Option<Algorithm>) -> Result<Vec<Request>, Failed> {
        let mut requests = Vec::new();
        for text in &self.indices {
            let request = parse(text, algorithm).map_err(|error| Failed::usage(error.to_string()))?;
            requests.push(request);
        }
        if let Some(path) = &self.file {
            requests.extend(from_file(path, algorithm)?);
        }
        if let (Some(count), Some(range)) = (self.random, self.range) {
            requests.extend(self.drawn(count, range).map(|n| asked(n, algorithm)));
        }
        if requests.is_empty() {
            return Err(Failed::usage(RequestError::Missing.to_string()));
        }
        Ok(requests)
    }

    fn drawn(&self, count: usize, range: IndexRange) -> impl Iterator<Item = u64> {
        let mut random = Random::seeded(self.seed.unwrap_or_else(Random::fresh_seed));
        if self.seed.is_none() {
            output::talk(format_args!("the same indices again: --seed {}", random.seed()));
        }
        (0..count).map(move |_| random.index(range))
    }
}

fn from_file(path: &Path, algorithm: Option<Algorithm>) -> Result<Vec<Request>, Failed> {
    let name = if path == Path::new("-") {
        "stdin".to_owned()
    } else {
        path.display().to_string()
    };
    let text = read(path).map_err(|error| Failed::usage(format!("{name}: {error}")))?;
    let numbered = text.lines().enumerate();
    let requests = numbered
        .filter(|(_, line)| !is_comment(line))
        .map(|(index, line)| {
            parse(line, algorithm).map_err(|error| Failed::usage(format!("{name}:{}: {error}", index + 1)))
        });
    requests.collect()
}

fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path)
}

fn is_comment(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// Reads one request: an index, or JSON.
fn parse(text: &str, algorithm: Option<Algorithm>) -> Result<Request, RequestError> {
    let text = text.trim();
    if !text.starts_with('{') {
        return Ok(asked(Request::parse_n(text)?, algorithm));
    }
    let value: Value = serde_json::from_str(text).map_err(|_| RequestError::NotARequest {
        given: text.to_owned(),
    })?;
    Request::decode(&value, algorithm)
}

fn asked(n: u64, algorithm: Option<Algorithm>) -> Request {
    algorithm.map_or_else(|| Request::new(n), |algorithm| Request::with(n, algorithm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_names_its_algorithm_keeps_it() {
        let parsed = |text| parse(text, Some(Algorithm::Recursive)).unwrap();
        assert_eq!(parsed("30"), Request::with(30, Algorithm::Recursive));
        assert_eq!(parsed(r#"{"n": 30}"#), Request::with(30, Algorithm::Recursive));
        assert_eq!(
            parsed(r#"{"n": 30, "algorithm": "iterative"}"#),
            Request::with(30, Algorithm::Iterative)
        );
    }

    #[test]
    fn a_file_is_refused_with_the_line_that_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("numbers.txt");
        std::fs::write(&path, "# three of them\n10\n\nabc\n").unwrap();
        let error = from_file(&path, Some(Algorithm::Doubling))
            .unwrap_err()
            .to_string();
        assert!(error.contains("numbers.txt:4: n is abc"), "{error}");
    }
}
