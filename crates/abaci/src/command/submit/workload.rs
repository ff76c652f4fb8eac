//! The jobs of a submission: indices on the command line, from a file, from stdin, or at random.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueHint};
use fibonacci_jobs::Algorithm;
use fibonacci_jobs::record::{Entry, RequestError};

use super::place::EntryPlace;
use super::random::Random;
use crate::exit::Failed;
use crate::output;
use fibonacci_jobs::IndexRange;

/// A job, and where it is written.
pub(super) struct PlacedEntry {
    pub(super) entry: Entry,
    pub(super) place: EntryPlace,
}

/// The sources of requests.
#[derive(Debug, Args)]
pub(super) struct Workload {
    /// Indices, or requests such as '{"n": 100, "algorithm": "doubling"}'; - for requests from stdin, one per line
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
    /// File with one request per line, which may name an id, a priority and tags too; - for stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
}

impl Workload {
    /// Reads every job, `algorithm` being that of those that name none; absent for the one for each index.
    ///
    /// With them comes the seed of those that were drawn, if it was not given.
    pub(super) fn entries(
        &self,
        algorithm: Option<Algorithm>,
    ) -> Result<(Vec<PlacedEntry>, Option<u64>), Failed> {
        let mut fresh_seed = None;
        let mut entries = Vec::new();
        for (text, number) in self.indices.iter().zip(1..) {
            if text == STDIN {
                entries.extend(from_file(Path::new(STDIN), algorithm)?);
            } else {
                let entry = Entry::read(text, algorithm);
                let entry = entry.map_err(|error| Failed::usage(error.to_string()))?;
                let place = EntryPlace::Argument(number);
                entries.push(PlacedEntry { entry, place });
            }
        }
        if let Some(path) = &self.file {
            entries.extend(from_file(path, algorithm)?);
        }
        if let (Some(count), Some(range)) = (self.random, self.range) {
            let seed = self
                .seed
                .unwrap_or_else(|| *fresh_seed.insert(Random::fresh_seed()));
            if self.seed.is_none() {
                output::talk(format_args!("the same indices again: --seed {seed}"));
            }
            let mut random = Random::seeded(seed);
            let draw = |number| PlacedEntry {
                entry: Entry::of_index(random.index(range), algorithm),
                place: EntryPlace::Drawn(number),
            };
            entries.extend((1..=count).map(draw));
        }
        if entries.is_empty() {
            return Err(Failed::usage(RequestError::Missing.to_string()));
        }
        Ok((entries, fresh_seed))
    }
}

/// The name of standard input.
const STDIN: &str = "-";

fn from_file(path: &Path, algorithm: Option<Algorithm>) -> Result<Vec<PlacedEntry>, Failed> {
    let name = if path == Path::new(STDIN) {
        "stdin".to_owned()
    } else {
        path.display().to_string()
    };
    let text = read(path).map_err(|error| Failed::usage(format!("{name}: {error}")))?;
    let source: Arc<str> = name.into();
    // Some editors begin a file with it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    // Before comments are left out, so that a refusal names the line of the file.
    let numbered = text.lines().zip(1..);
    let entries = numbered
        .filter(|(line, _)| !is_comment(line))
        .map(|(line, number)| {
            let place = EntryPlace::Line(Arc::clone(&source), number);
            let entry = Entry::read(line, algorithm);
            let entry = entry.map_err(|error| Failed::usage(format!("{place}: {error}")))?;
            Ok(PlacedEntry { entry, place })
        });
    entries.collect()
}

fn read(path: &Path) -> io::Result<String> {
    if path == Path::new(STDIN) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_of_the_byte_order_is_no_part_of_the_first_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("numbers.txt");
        for (text, count) in [
            ("\u{feff}10\n20\n", 2),
            ("\u{feff}# none\n{\"n\": 1}", 1),
            ("\u{feff}", 0),
        ] {
            std::fs::write(&path, text).unwrap();
            let read = from_file(&path, None).map(|entries| entries.len());
            assert_eq!(read.ok(), Some(count), "{text:?}");
        }
    }

    #[test]
    fn a_file_is_refused_with_the_line_that_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("numbers.txt");
        std::fs::write(&path, "# three of them\n10\n\nabc\n").unwrap();
        let error = from_file(&path, Some(Algorithm::Doubling))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("numbers.txt:4: n is abc"), "{error}");
    }
}
