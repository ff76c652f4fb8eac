use serde_json::{Value, json};

use super::{POISON, assert_falsified, observed};

#[test]
fn a_poisoned_workflow_is_parked_and_resumes_after_its_records() {
    let facts = &observed("ex2")["facts"];
    assert_eq!(facts["poisoned_page"], 3);
    assert_eq!(
        facts["broken_ends"],
        json!(["SIGSEGV", "SIGSEGV", "SIGSEGV", "SIGSEGV"])
    );
    assert_eq!(facts["broken_row"], "PENDING, starts: 4");
    assert_eq!(
        facts["right_ends"],
        json!(["SIGSEGV", "SIGSEGV", "SIGSEGV", "exit 0"])
    );
    assert_eq!(facts["right_row"], "ERROR, starts: 4");
    assert_eq!(facts["right_error"], POISON);
    for (form, deaths) in [("broken", 4), ("right", 3)] {
        assert_eq!(
            facts[format!("{form}_attempts")],
            json!([1, 2, 3, 4].repeat(deaths)),
            "every start begins with attempt 1"
        );
        assert_eq!(facts[format!("{form}_fetched")], json!([1, 2]));
        assert_grows(&facts[format!("{form}_attempts_at_ms")]);
    }
    assert_eq!(facts["engine_resumed_row"], "ERROR, starts: 4");
    assert_eq!(facts["engine_resumed_fetched"], json!([]));
    assert_eq!(facts["abaci_resumed_row"], "SUCCESS, starts: 1");
    assert_eq!(facts["abaci_resumed_fetched"], json!([3, 4, 5]));
}

/// The attempts follow each other after at least 20, 40 and 80 ms.
#[track_caller]
fn assert_grows(at_ms: &Value) {
    let at_ms: Vec<u64> = serde_json::from_value(at_ms.clone()).unwrap();
    assert_eq!(at_ms.len(), 4, "{at_ms:?}");
    for (index, earliest) in [0, 20, 60, 140].into_iter().enumerate() {
        assert!(at_ms[index] >= earliest, "an attempt came too soon: {at_ms:?}");
    }
}

#[test]
fn without_the_right_form_the_claim_falls() {
    assert_falsified("ex2");
}
