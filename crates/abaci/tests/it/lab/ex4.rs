use serde_json::json;

use super::{assert_falsified, observed};
use crate::rig::Rig;

#[test]
fn only_steps_that_are_built_first_lose_no_items() {
    let facts = &observed("ex4")["facts"];
    let first = "stored F, B, E; SIGKILL";
    let expected = json!({
        // The waits end in the order C, D, A, E, B, F, and the first three are given what F, B and E had stored.
        "broken": [first, "stored E, B, F; exit 0", "SUCCESS with 3 of 6 items: F, B, E, E, B, F"],
        "right": [first, "stored C, D, A; exit 0", "SUCCESS with 6 of 6 items: A, B, C, D, E, F"],
    });
    assert_eq!(*facts, expected);
}

#[test]
fn its_trace_shows_order_crash_and_replay() {
    let rig = Rig::new();
    let output = rig.run(["lab", "ex4"]);
    let trace = output.stdout.iter().filter(|line| line.starts_with("  pid "));
    // Without the process ids.
    let trace: Vec<&str> = trace.map(|line| &line[15..]).collect();
    let of_broken = [
        "broken  start executor_id=lab/broken",
        "broken  waits end_in_order=F, B, E",
        "broken  stored item=F place=0",
        "broken  stored item=B place=1",
        "broken  stored item=E place=2",
        "broken  end how=SIGKILL",
        "broken  start executor_id=lab/broken",
        "broken  waits end_in_order=C, D, A, E, B, F",
        "broken  replayed item=C place=0 recorded=F",
        "broken  replayed item=D place=1 recorded=B",
        "broken  replayed item=A place=2 recorded=E",
        "broken  stored item=E place=3",
    ];
    assert_eq!(trace[..of_broken.len()], of_broken, "{output:#?}");
}

#[test]
fn without_the_right_form_the_claim_falls() {
    assert_falsified("ex4");
}
