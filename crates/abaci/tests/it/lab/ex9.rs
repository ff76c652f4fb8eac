use serde_json::json;

use super::{POISON, assert_falsified, observed};

#[test]
fn a_job_that_kills_its_workers_stops_the_queue_until_parked() {
    let facts = &observed("ex9")["facts"];
    let before = "poison ENQUEUED 0, good-1 ENQUEUED 0, good-2 ENQUEUED 0, good-3 ENQUEUED 0";
    let expected = json!({
        "broken_before": before,
        "broken_deaths": 4,
        "broken_good_done": 0,
        "broken_after": "poison PENDING 4, good-1 ENQUEUED 0, good-2 ENQUEUED 0, good-3 ENQUEUED 0",
        "broken_poison": null,
        "right_before": before,
        "right_deaths": 3,
        "right_good_done": 3,
        "right_after": "poison ERROR 4, good-1 SUCCESS 1, good-2 SUCCESS 1, good-3 SUCCESS 1",
        "right_poison": POISON,
    });
    assert_eq!(*facts, expected);
}

#[test]
fn without_the_right_form_the_claim_falls() {
    assert_falsified("ex9");
}
