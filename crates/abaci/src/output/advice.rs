//! Commands as people can type them.

use std::fmt::Display;

use durable_jobs::record::Batch;
use durable_jobs::{ENGINE_QUEUE, JobId};
use fibonacci_jobs::DEFAULT_QUEUE;

/// Reports that no job has this id, with the way out.
pub(crate) fn no_such_job(id: impl Display) -> String {
    format!("no job has the id {id}; see: abaci list")
}

/// Returns the command that starts a worker of `queue`.
pub(crate) fn serve_command(queue: &str) -> String {
    if matches!(queue, DEFAULT_QUEUE | ENGINE_QUEUE) {
        "abaci serve".to_owned()
    } else {
        format!("abaci serve --queue {}", argument(queue))
    }
}

/// Returns the command that resumes `queue`.
pub(crate) fn resume_queue_command(queue: &str) -> String {
    format!("abaci queue resume {}", argument(queue))
}

/// Returns the command that lists all of these jobs, and no others if they were submitted together.
pub(crate) fn list_command<'a>(mut ids: impl Iterator<Item = &'a JobId>) -> String {
    let batch = |id: &'a JobId| id.as_str().rsplit_once('-').map(|(batch, _)| batch);
    match ids.next().and_then(batch) {
        Some(shared) if ids.all(|id| batch(id) == Some(shared)) => {
            format!(
                "abaci list --limit 0 --id-prefix {}",
                argument(&format!("{shared}-"))
            )
        }
        _ => "abaci list --limit 0".to_owned(),
    }
}

/// Returns the command that shows this job.
pub(crate) fn show_command(id: &JobId) -> String {
    format!("abaci show {}", argument(id.as_str()))
}

/// Returns the flag that makes a submission one of this batch.
pub(crate) fn batch_flag(batch: &Batch) -> String {
    format!("--batch {}", argument(batch.as_str()))
}

/// Returns the command that waits for these jobs.
pub(crate) fn wait_command<'a>(ids: impl Iterator<Item = &'a JobId>) -> String {
    let ids: Vec<String> = ids.map(|id| argument(id.as_str())).collect();
    format!("abaci wait {}", ids.join(" "))
}

/// One argument for a shell: as it is where nothing in it means anything to a shell, else in quotes.
fn argument(text: &str) -> String {
    // The harmless signs are listed, so no sign that some shell knows can be forgotten.
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

    #[test]
    fn an_id_is_one_argument_whatever_is_in_it() {
        let ids = ["mine", "two words", "$(date)"].map(JobId::new);
        assert_eq!(wait_command(ids.iter()), "abaci wait mine 'two words' '$(date)'");
    }

    #[test]
    fn jobs_of_one_submission_are_listed_by_how_their_ids_begin() {
        let mut ids: Vec<JobId> = Batch::fresh().ids().take(3).collect();
        let command = list_command(ids.iter());
        let (_, shared) = command.split_once("--limit 0 --id-prefix ").unwrap();
        assert!(ids.iter().all(|id| id.as_str().starts_with(shared)), "{command}");
        ids.push(JobId::new("mine"));
        assert_eq!(list_command(ids.iter()), "abaci list --limit 0");
    }
}
