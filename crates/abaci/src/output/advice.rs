//! Commands as people can type them.

use abaci_engine::{DEFAULT_QUEUE, ENGINE_QUEUE};

/// The command that starts a worker of `queue`.
pub(crate) fn serve_command(queue: &str) -> String {
    if matches!(queue, DEFAULT_QUEUE | ENGINE_QUEUE) {
        "abaci serve".to_owned()
    } else {
        format!("abaci serve --queue {}", argument(queue))
    }
}

/// One argument for a shell: as it is where nothing in it means anything to a shell, else in quotes.
fn argument(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/@%+=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_named_where_a_worker_would_take_another_one() {
        for (queue, command) in [
            ("fibonacci", "abaci serve"),
            ("other", "abaci serve --queue other"),
            ("", "abaci serve --queue ''"),
            ("a b; rm $HOME", "abaci serve --queue 'a b; rm $HOME'"),
            ("it's", r"abaci serve --queue 'it'\''s'"),
        ] {
            assert_eq!(serve_command(queue), command);
        }
    }
}
