//! Names that are no settings, and the settings that they are misspellings of.

use strsim::levenshtein;

/// Returns the one of `known` that `name` is a misspelling of, as far as its letters tell.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let with_changes = known.into_iter().map(|known| (levenshtein(name, known), known));
    let (changes, known) = with_changes.min_by_key(|(changes, _)| *changes)?;
    // More changes than a third of the letters make another word.
    (changes <= name.len().min(known.len()) / 3).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_has_a_nearest_name_and_another_word_has_none() {
        let known = ["concurrency", "queue", "data_dir", "database_url"];
        assert_eq!(nearest("concurency", known), Some("concurrency"));
        assert_eq!(nearest("quueue", known), Some("queue"));
        assert_eq!(nearest("datadir", known), Some("data_dir"));
        assert_eq!(nearest("service_host", known), None);
        assert_eq!(nearest("", known), None);
    }
}
