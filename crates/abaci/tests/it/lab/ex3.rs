use serde_json::{Value, json};

use super::{assert_falsified, observed};

#[test]
fn an_object_as_input_loses_its_connection_and_shows_its_secret() {
    let report = observed("ex3");
    let facts = &report["facts"];
    assert_eq!(facts["crash_step"], 2);
    for form in ["broken", "right"] {
        assert_eq!(facts[format!("{form}_ends")], json!(["SIGABRT", "exit 0"]));
        assert_eq!(
            facts[format!("{form}_is_connected")],
            json!([[false], [false]]),
            "a connection was passed on"
        );
    }
    assert_eq!(facts["broken_secret_in"], json!(["workflow_status.inputs"]));
    assert_eq!(
        facts["broken_row"],
        r#"{"user":"alice","secret":{"value":"sk-…"}}"#
    );
    assert_eq!(facts["broken_charged"], json!([[1], []]));
    assert_eq!(facts["broken_resolved"], json!([[], []]));
    assert_eq!(facts["broken_outcome"], "ERROR");
    assert_eq!(facts["broken_error"], "refused: this secret was replaced");
    assert_eq!(facts["right_secret_in"], json!([]));
    assert_eq!(
        facts["right_row"],
        r#"{"user":"alice","secret":{"name":"billing"}}"#
    );
    assert_eq!(facts["right_charged"], json!([[1], [2, 3]]));
    assert_eq!(
        facts["right_resolved"],
        json!([["billing", "billing"], ["billing", "billing"]]),
        "every step that runs asks for the secret"
    );
    assert_eq!(
        (&facts["right_outcome"], &facts["right_error"]),
        (&json!("SUCCESS"), &Value::Null)
    );
    assert!(
        ["-monday", "-tuesday"]
            .iter()
            .all(|day| !report.to_string().contains(day)),
        "the report has a secret in it: {report:#}"
    );
}

#[test]
fn without_the_right_form_the_claim_falls() {
    assert_falsified("ex3");
}
