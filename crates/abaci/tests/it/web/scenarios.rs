//! The page in a real browser.

use super::browser::Scenario;

#[test]
fn the_frame_of_browser_tests_notices_each_kind_of_fault() {
    Scenario::start("frame", &[]).passes();
}
