use serde_json::json;

use super::{assert_falsified, observed};

#[test]
fn a_memory_that_is_shared_by_steps_is_lost_and_results_are_not() {
    let facts = &observed("ex1")["facts"];
    let until: Vec<u64> = (2..=12).collect();
    let from: Vec<u64> = (12..=20).collect();
    for form in ["broken", "right"] {
        assert_eq!(facts[format!("{form}_first_end")], "SIGSEGV");
        assert_eq!(facts[format!("{form}_first_ran")], json!(until));
        assert_eq!(facts[format!("{form}_second_ran")], json!(from));
        assert_eq!(facts[format!("{form}_status")], "SUCCESS");
    }
    assert_eq!(facts["crash_index"], 12);
    assert_eq!(
        (&facts["broken_value"], &facts["right_value"]),
        (&json!(0), &json!(6765))
    );
}

#[test]
fn without_the_right_form_the_claim_falls() {
    assert_falsified("ex1");
}
