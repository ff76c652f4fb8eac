use std::collections::BTreeSet;

use serde_json::json;

use super::{assert_falsified, observed};

#[test]
fn steps_that_timing_orders_diverge_and_steps_that_are_built_first_replay() {
    let facts = &observed("ex4")["facts"];
    for form in ["broken", "right"] {
        assert_eq!(facts[format!("{form}_first_end")], "SIGKILL");
        assert_eq!(facts[format!("{form}_items_status")], "SUCCESS");
    }
    // Eight were recorded before the crash; the others took their places over, and stored three of them again.
    let stored = facts["broken_stored"].as_array().unwrap();
    assert_eq!(facts["broken_stored"], json!([8, 9, 4, 0, 10, 2, 7, 1, 4, 9, 8]));
    let distinct: BTreeSet<_> = stored.iter().map(|item| item.as_u64().unwrap()).collect();
    assert_eq!(distinct.len(), 8);
    assert_eq!(facts["right_stored"], json!((0..11).collect::<Vec<_>>()));
    assert_eq!(facts["broken_race_status"], "PENDING");
    assert_eq!(
        facts["broken_race"],
        "workflow lab/broken/race step 1 was recorded as \"charge_old\", but \"charge_new\" was expected"
    );
    assert_eq!(
        (&facts["right_race_status"], &facts["right_race"]),
        (&json!("SUCCESS"), &json!([1]))
    );
}

#[test]
fn steps_that_are_built_first_are_concurrent() {
    let facts = &observed("ex4")["facts"];
    assert_eq!(facts["sum_of_waits_ms"], 1980);
    for form in ["broken", "right"] {
        // The longest wait is eleven times 30 ms.
        let ms = facts[format!("{form}_undisturbed_ms")].as_u64().unwrap();
        assert!((330..990).contains(&ms), "{form}: {ms} ms");
    }
}

#[test]
fn without_the_right_form_the_claim_falls() {
    assert_falsified("ex4");
}
