//! The command blocks of a page.

/// A block of commands with their output.
pub(super) struct Block {
    pub(super) commands: Vec<Shown>,
    /// The reason why it is not run.
    pub(super) no_run: Option<String>,
}

/// A command as a page shows it.
pub(super) struct Shown {
    pub(super) text: String,
    pub(super) output: Vec<String>,
}

/// Languages of blocks that hold no commands.
const NO_COMMANDS: [&str; 5] = ["ini", "python", "rust", "text", "toml"];

/// Returns the command blocks of a page; a block of any other language has to be one of [`NO_COMMANDS`].
pub(super) fn blocks_of(page: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let (language, mark) = info.split_once(' ').unwrap_or((info, ""));
        if language == "console" {
            let no_run = mark.strip_prefix("no-run=").map(str::to_owned);
            assert!(no_run.is_some() || mark.is_empty(), "{page}: what is {info:?}?");
            blocks.push(Block {
                commands: commands_of(page, &body),
                no_run,
            });
        } else {
            assert!(
                NO_COMMANDS.contains(&language),
                "{page}: commands go into a `console` block, and this is {info:?}"
            );
        }
    }
    blocks
}

/// A command begins with `$ `; it goes on at lines that begin with `> `, and what follows is its output.
fn commands_of(page: &str, body: &[&str]) -> Vec<Shown> {
    let mut commands: Vec<Shown> = Vec::new();
    for line in body {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push(Shown {
                text: command.to_owned(),
                output: Vec::new(),
            }),
            (None, None) => panic!("{page}: a console block begins with {line:?} and not with `$ `"),
            (None, Some(last)) => match line.strip_prefix("> ") {
                Some(more) if last.output.is_empty() => last.text.extend(["\n", more]),
                _ => last.output.push((*line).to_owned()),
            },
        }
    }
    commands
}

/// Words that are true at one moment and not at the next.
const MOMENTARY: [&str; 4] = ["busy", "degraded", "healthy", "idle"];

/// A number of so many digits is a value, and not the id of a process.
const DIGITS_OF_A_VALUE: usize = 8;

/// Returns the parts of an output that every run writes: words of four letters or more, counts such as `4 jobs`, and values.
///
/// Ids, process ids and times are never the same again.
pub(super) fn lasting_parts(output: &[String]) -> Vec<String> {
    let lines = || output.iter().map(String::as_str);
    let words = lines().flat_map(|line| line.split(|c: char| !c.is_alphanumeric()));
    let words = words
        .filter(|word| word.len() >= 4 && word.chars().all(char::is_alphabetic))
        .filter(|word| !MOMENTARY.contains(word));
    let values = lines()
        .flat_map(|line| line.split([' ', '"']))
        .filter(|word| word.len() >= DIGITS_OF_A_VALUE && word.bytes().all(|byte| byte.is_ascii_digit()));
    let whole = lines().filter(|line| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()));
    let parts = words.chain(values).chain(whole).map(str::to_owned);
    parts.chain(lines().flat_map(counts_of)).collect()
}

/// Returns each whole number of a line with the word behind it. Columns have two spaces between them, and are not counts.
fn counts_of(line: &str) -> Vec<String> {
    let parts: Vec<&str> = line.split(' ').collect();
    let counts = parts.windows(2).filter_map(|pair| {
        let number = pair[0].trim_start_matches('(');
        let is_whole = number.starts_with(|c: char| c.is_ascii_digit())
            && number.chars().all(|c| c.is_ascii_digit() || c == ',')
            && !number.ends_with(',');
        let word: String = pair[1].chars().take_while(|c| c.is_alphabetic()).collect();
        (is_whole && word.len() >= 3).then(|| format!("{number} {word}"))
    });
    counts.collect()
}

/// Tests whether a text has such a part; a number is not a part of a longer one.
pub(super) fn has_part(text: &str, part: &str) -> bool {
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    // Numbers are written in groups: `1,234 jobs` has no `234 jobs`.
    let ends_group = |c: Option<char>| is_digit(c) || c == Some(',');
    text.match_indices(part).any(|(at, _)| {
        let (before, after) = (
            text[..at].chars().next_back(),
            text[at + part.len()..].chars().next(),
        );
        let (first, last) = (part.chars().next(), part.chars().next_back());
        !(is_digit(first) && ends_group(before) || is_digit(last) && is_digit(after))
    })
}

#[test]
fn counts_and_values_of_a_page_have_to_be_written() {
    let shown = [
        "F(20000) = 253116232373 (4,180 digits)  0.000 s  pid 14131",
        "0     3626  idle   0.3s  0         -    -",
        "4 jobs, 0 failed: wall 0.102 s",
        "4179753",
    ]
    .map(str::to_owned);
    assert_eq!(
        lasting_parts(&shown),
        [
            "digits",
            "jobs",
            "failed",
            "wall",
            "253116232373",
            "4179753",
            "4,180 digits",
            "4 jobs",
            "0 failed"
        ]
    );
    assert!(has_part("4 jobs, 0 failed", "4 jobs") && !has_part("14 jobs", "4 jobs"));
    assert!(!has_part("1,234 jobs", "234 jobs"));
    assert!(has_part("= 55, x", "= 55") && !has_part("41797531", "4179753"));
}
