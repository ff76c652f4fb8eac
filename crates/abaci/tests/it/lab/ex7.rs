use serde_json::{Value, json};

use super::{assert_falsified, observed};

fn row(version: &str, status: &str, total: &Value, attempts: u32) -> Value {
    json!({ "version": version, "status": status, "total": total, "attempts": attempts })
}

#[test]
fn new_code_needs_a_version_of_its_own() {
    let facts = &observed("ex7")["facts"];
    assert_eq!(facts["crash_at"], "item 5");
    for crash in [
        "broken_own_names_crash",
        "broken_one_name_crash",
        "right_left_alone_crash",
    ] {
        assert_eq!(facts[crash], "SIGSEGV", "{crash}");
    }
    for (order, expected) in [
        ("broken_own_names", row("lab-1", "PENDING", &Value::Null, 2)),
        ("broken_rolled_back", row("lab-1", "SUCCESS", &json!(91), 3)),
        // Item 4 twice, and no fee.
        ("broken_one_name", row("lab-1", "SUCCESS", &json!(107), 2)),
        ("right_left_alone", row("lab-1", "PENDING", &Value::Null, 1)),
        ("right_finished", row("lab-1", "SUCCESS", &json!(91), 2)),
        ("right_new", row("lab-2", "SUCCESS", &json!(191), 1)),
        ("right_fork", row("lab-2", "SUCCESS", &json!(191), 1)),
    ] {
        assert_eq!(facts[order], expected, "{order}");
    }
    assert_eq!(
        facts["broken_own_names_error"],
        r#"workflow lab/broken/own step 0 was recorded as "item 1", but "fee" was expected"#
    );
}

#[test]
fn without_the_right_form_the_claim_falls() {
    assert_falsified("ex7");
}
