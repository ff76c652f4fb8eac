use serde_json::json;

use super::{assert_falsified, observed};

#[test]
fn only_a_lock_keeps_a_second_process_from_a_live_ones_work() {
    let facts = &observed("ex8")["facts"];
    let expected = json!({
        "broken_charges_at_once": 2,
        "broken_recorded": "SUCCESS: charge by second, pack by second",
        "broken_first_error": "workflow lab/broken step 0 was already recorded by another execution",
        "right_second": "exit 1: abaci: executor id lab/right is in use by another process; \
                         start this one under another id",
        "right_row_untouched": true,
        "right_other_recorded": "SUCCESS: charge by other, pack by other",
        "right_charges": 1,
        "right_recorded": "SUCCESS: charge by first, pack by third",
    });
    assert_eq!(*facts, expected);
}

#[test]
fn without_the_right_form_the_claim_falls() {
    assert_falsified("ex8");
}
