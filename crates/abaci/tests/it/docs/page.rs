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

/// Returns the words of four letters or more that an output has; numbers, ids and times are never the same again.
pub(super) fn words_of(output: &[String]) -> impl Iterator<Item = String> {
    let words = output
        .iter()
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric()));
    let letters = words.filter(|word| word.len() >= 4 && word.chars().all(char::is_alphabetic));
    let lasting = letters.filter(|word| !MOMENTARY.contains(word));
    lasting.map(str::to_owned)
}
