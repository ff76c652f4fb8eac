use serde_json::{Value, json};

use super::{assert_falsified, observed};

/// Reads what both processes leave, of which the second one begins the work `again` times.
fn left(process: &str, caller: &str, row: &str, again: u32) -> Value {
    let left = |ran: u32| json!({ "process": process, "caller": caller, "ran": ran, "row": row });
    json!([left(1), left(again)])
}

#[test]
fn a_panic_or_a_lack_of_memory_can_be_made_an_outcome() {
    let facts = &observed("ex6")["facts"];
    assert_eq!(facts["good_steps"], 2);
    for place in ["step", "body"] {
        for (line, expected) in [
            ("broken_error", left("exit 0", "bad input", "ERROR", 0)),
            ("broken_panic", left("exit 0", "waits", "PENDING", 1)),
            ("broken_oom", left("SIGABRT", "died with it", "PENDING", 1)),
            ("right_panic", left("exit 0", "panic: bad luck", "ERROR", 0)),
            (
                "right_oom",
                left("exit 0", "its own process ended: SIGABRT", "ERROR", 0),
            ),
        ] {
            assert_eq!(facts[format!("{line}_{place}")], expected, "{line} in a {place}");
        }
    }
}

#[test]
fn without_the_right_form_the_claim_falls() {
    assert_falsified("ex6");
}
