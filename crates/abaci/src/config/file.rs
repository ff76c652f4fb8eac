//! The configuration file.

use std::path::Path;

use super::names::nearest;
use super::settings::Layer;
use crate::exit::Failed;

impl Layer {
    /// Reads the settings that a file gives.
    ///
    /// # Errors
    /// A usage error that names the file, the line, the key and its value.
    pub(super) fn from_file(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failed::usage(format!("{}: {error}", path.display())))?;
        let layer = toml::from_str(&text).map_err(|error| located(path, &text, &error))?;
        Ok(layer)
    }
}

/// Puts the parser's message on one line, with the place in front.
fn located(path: &Path, text: &str, error: &toml::de::Error) -> Failed {
    let span = error.span().unwrap_or_default();
    let before = text.get(..span.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let message = error.message().replace('\n', " ");
    let beginning = before.rsplit('\n').next().unwrap_or_default();
    let said = unknown_key(&message).unwrap_or_else(|| match key_before(beginning) {
        // It may hold a password.
        Some("database_url") => format!("database_url: {message}"),
        Some(key) => format!("{key} is {}: {message}", text.get(span).unwrap_or_default()),
        None => message,
    });
    Failed::usage(format!("{}:{line}: {said}", path.display()))
}

/// Finds the key whose value begins behind this beginning of a line.
fn key_before(beginning: &str) -> Option<&str> {
    let key = beginning.trim().strip_suffix('=')?.trim();
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    (!key.is_empty() && key.chars().all(is_bare)).then_some(key)
}

/// Names the key that may be meant by one that does not exist.
fn unknown_key(message: &str) -> Option<String> {
    // The parser offers the names in its words only, each between two backticks: every other piece is a name.
    let mut names = message.strip_prefix("unknown field `")?.split('`').step_by(2);
    let unknown = names.next()?;
    let meant = nearest(unknown, names.filter(|name| !name.is_empty()));
    let meant = meant.map_or_else(String::new, |name| format!("; did you mean {name}?"));
    Some(format!("there is no key {unknown}{meant}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_of_the_wrong_kind_is_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "database_url = [\"postgres://ada:s3cret@db\"]\n").unwrap();
        let refusal = Layer::from_file(file.path()).unwrap_err().to_string();
        assert!(
            refusal.contains(":1: database_url: ") && !refusal.contains("s3cret"),
            "{refusal}"
        );
    }
}
