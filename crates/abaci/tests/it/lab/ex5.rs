use serde_json::json;

use super::{assert_falsified, observed};

#[test]
fn steps_are_recorded_in_the_body_and_in_children_only() {
    let facts = &observed("ex5")["facts"];
    assert_eq!(facts["crash_part"], 3);
    assert_eq!(facts["broken_ends"], json!(["SIGSEGV", "exit 0"]));
    assert_eq!(facts["broken_step"], json!([[1, 2, 3], [1, 2, 3, 4, 5]]));
    assert_eq!(facts["broken_task"], json!([[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]));
    assert_eq!(
        facts["broken_refusal"],
        "starting a workflow cannot be called from within a step"
    );
    assert_eq!(facts["broken_workflows"], json!(["lab/broken SUCCESS"]));
    assert_eq!(
        facts["broken_records"],
        json!(["lab/broken step 0 start_child", "lab/broken step 1 all_parts"])
    );
    assert_eq!(facts["right_ends"], json!(["SIGSEGV", "SIGSEGV", "exit 0"]));
    assert_eq!(facts["right_function"], json!([[1, 2, 3], [3, 4, 5], []]));
    assert_eq!(facts["right_child"], json!([[], [1, 2, 3], [3, 4, 5]]));
    assert_eq!(
        facts["right_workflows"],
        json!(["lab/right SUCCESS", "lab/right-5 SUCCESS, child of lab/right"])
    );
    let mut records: Vec<String> = (0..5).map(|id| format!("lab/right step {id} part")).collect();
    records.push("lab/right step 5 child of lab/right-5".to_owned());
    records.push("lab/right step 6 DBOS.getResult of lab/right-5".to_owned());
    records.extend((0..5).map(|id| format!("lab/right-5 step {id} part")));
    assert_eq!(facts["right_records"], json!(records));
    assert_eq!(
        (&facts["broken_outcome"], &facts["right_outcome"]),
        (&json!(30), &json!(30))
    );
}

#[test]
fn without_the_right_form_the_claim_falls() {
    assert_falsified("ex5");
}
