//! Names that are no settings, and the settings that they are misspellings of.

/// Returns the one of `known` that `name` is a misspelling of, as far as its letters tell.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let with_changes = known.into_iter().map(|known| (changes(name, known), known));
    let (changes, known) = with_changes.min_by_key(|(changes, _)| *changes)?;
    // More changes than a third of the letters make another word.
    (changes <= name.len().min(known.len()) / 3).then_some(known)
}

/// Counts the letters to be inserted, removed or replaced to make one word of the other.
///
/// Source: Wagner and Fischer, "The String-to-String Correction Problem", J. ACM 21 (1974).
fn changes(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (removed, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], removed + 1);
        for (position, other) in to.chars().enumerate() {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[position + 1];
            row[position + 1] = replaced.min(diagonal + 1).min(row[position] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted_as_a_person_would() {
        for (from, to, count) in [
            ("", "abc", 3),
            ("queue", "queue", 0),
            ("concurency", "concurrency", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(
                (changes(from, to), changes(to, from)),
                (count, count),
                "{from} {to}"
            );
        }
    }

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
