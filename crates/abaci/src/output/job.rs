//! A job in hand as people read it.

use durable_jobs::record::{Details, RunningJob};

/// The phase that is not shown: the name of a step that computes shows it.
const UNSAID_PHASE: &str = "computing";

/// The number that is asked for, or the job's id before that is known.
pub(crate) fn name(job: &RunningJob) -> String {
    match detail(&job.details, "n") {
        Some(n) => format!("F({n})"),
        None => job.workflow_id.clone(),
    }
}

/// Reads a detail of a job as people read it.
pub(crate) fn detail(details: &Details, name: &str) -> Option<String> {
    let value = details.get(name).filter(|value| !value.is_null())?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// Writes the progress of a job, such as `compute 43 %, writing, 12 MB`; nothing between two steps.
pub(crate) fn progress(job: &RunningJob) -> Option<String> {
    let step = job.step.as_deref()?;
    // Rounded down, so that a share of less than all is not shown as 100 %.
    let share = job
        .progress
        .map_or_else(String::new, |done| format!(" {:.0} %", (done * 100.0).floor()));
    let phase = job.phase.as_deref().filter(|phase| *phase != UNSAID_PHASE);
    let parts = [
        Some(format!("{step}{share}")),
        phase.map(str::to_owned),
        job.bytes.map(size),
    ];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// A number of bytes in its largest decimal unit, rounded down.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(fields: &Value) -> RunningJob {
        let mut job = json!({"workflow_id": "a", "seconds": 1.0});
        let known = fields.as_object().unwrap().clone();
        job.as_object_mut().unwrap().extend(known);
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn what_a_job_is_at_is_as_much_as_is_known() {
        for (fields, text) in [
            (json!({}), None),
            (json!({"step": "certify"}), Some("certify")),
            (
                json!({"step": "compute", "progress": 0.439, "phase": "computing"}),
                Some("compute 43 %"),
            ),
            (
                json!({"step": "compute", "progress": 1.0, "phase": "writing", "bytes": 12_345_678}),
                Some("compute 100 %, writing, 12 MB"),
            ),
        ] {
            assert_eq!(progress(&job(&fields)).as_deref(), text);
        }
    }

    #[test]
    fn a_job_is_named_by_its_number_once_that_is_known() {
        assert_eq!(name(&job(&json!({}))), "a");
        assert_eq!(name(&job(&json!({"n": 46}))), "F(46)");
    }

    #[test]
    fn sizes_are_decimal_and_rounded_down() {
        for (bytes, text) in [
            (999, "999 B"),
            (1_999, "1 kB"),
            (12_999_999, "12 MB"),
            (5_000_000_000, "5 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
