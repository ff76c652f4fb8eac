//! Bad input: one clear line, the right exit code, and nothing started, queued or half-made.

use testkit::TempDir;

use crate::rig::{Rig, assert_refused, bare, run};

/// Runs the program without any database and asserts that it left nothing in its data directory.
#[track_caller]
fn refused(arguments: &[&str], words: &[&str]) {
    let home = TempDir::new();
    assert_refused(&run(bare(&home, arguments)), 2, words);
    assert!(
        !home.path().join("data").exists(),
        "{arguments:?} was refused and yet made something"
    );
}

#[test]
fn what_is_no_index_is_refused_with_the_value() {
    refused(&["submit", "-1"], &["n is -1", "non-negative integer"]);
    refused(&["submit", "1.5"], &["n is 1.5", "non-negative integer"]);
    refused(&["submit", "abc"], &["n is abc", "non-negative integer"]);
    refused(&["submit", "0x10"], &["n is 0x10"]);
    refused(&["submit", ""], &["n is missing"]);
    refused(&["submit"], &["n is missing"]);
    refused(&["submit", "10", "--", "-5"], &["n is -5"]);
}

#[test]
fn what_is_over_a_limit_is_refused_with_the_limit() {
    let googol = "1000000000000000000000000000000";
    refused(&["submit", googol], &[googol, "2000000000"]);
    refused(
        &["submit", "2000000001"],
        &["n is 2000000001", "2000000000", "--max-n"],
    );
    refused(
        &["submit", "--algorithm", "recursive", "51"],
        &["n is 51", "limit of 50", "recursive"],
    );
    refused(
        &["submit", "--algorithm", "stepwise", "10001"],
        &["n is 10001", "limit of 10000", "stepwise", "use doubling"],
    );
    refused(&["submit", "--max-n", "99", "100"], &["n is 100", "limit of 99"]);
    refused(
        &["submit", "--job-memory", "1MB", "100000000"],
        &["n is 100000000", "MB", "--job-memory"],
    );
}

#[test]
fn what_cannot_be_seen_is_shown_where_it_is_refused() {
    refused(&["submit", "\u{feff}10"], &[r"n is \u{feff}10,"]);
    refused(&["submit", "1\u{200b}0"], &[r"n is 1\u{200b}0,"]);
    refused(&["submit", "10\n20"], &[r"n is 10\n20,"]);
    refused(&["submit", "{\u{202e}"], &[r"the input is {\u{202e},"]);
    refused(&["submit", "10", "--timeout", "1\u{1b}[2Js"], &[r"1\u{1b}[2Js"]);
    refused(&["list", "--state", "\u{9b}2J"], &[r"\u{9b}2J"]);
    refused(&["lab", "ex1\u{7f}"], &[r"ex1\u{7f}"]);
    let home = TempDir::new();
    let file = home.path().join("numbers.txt");
    // A mark of the byte order at the beginning of a file is none of it; one elsewhere is.
    std::fs::write(&file, "\u{feff}10\n\u{feff}20\n").unwrap();
    let arguments = ["submit".as_ref(), "--file".as_ref(), file.as_os_str()];
    let words = [r"numbers.txt:2: n is \u{feff}20,"];
    assert_refused(&run(bare(&home, arguments)), 2, &words);
}

#[test]
fn an_id_that_no_list_can_show_is_refused_with_what_is_in_it() {
    for (id, shown) in [
        ("", r#""""#),
        ("x\u{1b}[2J", r#""x\u{1b}[2J""#),
        ("a\nb", r#""a\nb""#),
        ("two words", r#""two words""#),
        ("a\u{202e}b", r#""a\u{202e}b""#),
    ] {
        refused(&["submit", "--id", id, "10"], &["--id", shown, "128"]);
    }
    let long = "x".repeat(129);
    refused(&["submit", "--id", &long, "10"], &["--id", "128"]);
}

#[test]
fn one_bad_index_among_good_ones_refuses_all() {
    refused(&["submit", "1", "2", "x", "4"], &["n is x"]);
}

#[test]
fn an_unknown_algorithm_or_field_is_refused_with_its_name() {
    refused(
        &["submit", "--algorithm", "magic", "10"],
        &["'magic'", "--algorithm", "doubling"],
    );
    refused(&["submit", r#"{"n": 10, "algorithm": "magic"}"#], &["\"magic\""]);
    refused(
        &["submit", r#"{"m": 10}"#],
        &["\"m\"", "n and algorithm, id, priority and tag"],
    );
    refused(&["submit", r#"{"n": 10"#], &["not a request"]);
}

#[test]
fn a_fault_that_could_never_strike_is_refused_with_the_reason() {
    refused(&["submit", "--fault", "abort@5", "10"], &["abort@5", "stepwise"]);
    let stepwise = ["submit", "--algorithm", "stepwise", "--fault"];
    refused(
        &[&stepwise[..], &["abort@11", "10"]].concat(),
        &["abort@11", "F(10)"],
    );
    refused(
        &[&stepwise[..], &["flood@5", "10"]].concat(),
        &["\"flood@5\"", "segfault@57"],
    );
    refused(
        &[
            "submit",
            r#"{"n": 10, "algorithm": "doubling", "fault": "oom@5"}"#,
        ],
        &["oom@5", "doubling"],
    );
}

#[test]
fn a_flag_that_does_not_exist_is_refused_with_the_one_that_does() {
    refused(&["submit", "--jsn", "10"], &["--jsn", "--json"]);
    refused(&["sumbit", "10"], &["sumbit", "submit"]);
}

#[test]
fn settings_that_cannot_be_read_are_refused_with_their_name() {
    refused(
        &["serve", "--poll-interval", "soon"],
        &["--poll-interval", "20ms"],
    );
    refused(&["serve", "--concurrency", "0"], &["concurrency"]);
    refused(&["serve", "--poll-interval", "0s"], &["poll_interval", "1ms"]);
    refused(
        &["submit", "10", "--job-memory", "lots"],
        &["--job-memory", "8GiB"],
    );
    refused(&["submit", "10", "--random", "3"], &["--range"]);
    refused(&["submit", "--random", "3", "--range", "9..=1"], &["empty"]);
    refused(&["submit", "--id", "mine", "1", "2"], &["--id", "2"]);
    refused(&["list", "--state", "lost"], &["lost", "queued"]);
    refused(&["list", "--log-level", "loud"], &["\"loud\"", "info"]);
}

#[test]
fn a_negative_value_is_said_to_be_one() {
    for arguments in [
        &["submit", "--delay", "-1s", "10"][..],
        &["submit", "--timeout", "-20ms", "10"],
        &["submit", "10", "--job-memory", "-1MB"],
        &["queue", "limit", "--rate", "-1/1m"],
        &["serve", "--grace", "-1s"],
        &["status", "--wait", "-1s"],
    ] {
        let value = arguments
            .iter()
            .position(|word| word.starts_with("-1") || word.starts_with("-2"))
            .unwrap();
        refused(
            arguments,
            &[arguments[value], arguments[value - 1], "cannot be negative"],
        );
    }
    refused(
        &["submit", "10", "--random", "-3", "--range", "1..=2"],
        &["--random", "-3", "whole number"],
    );
    refused(&["list", "--limit", "-3"], &["--limit", "-3"]);
    // Where no flag wants a value it is none.
    refused(&["submit", "--json", "-1s"], &["-1"]);
}

#[test]
fn a_url_of_another_kind_is_refused_without_its_password() {
    let url = "mysql://ada:s3cret@localhost/abaci";
    let output = run(bare(&TempDir::new(), ["list", "--database-url", url]));
    assert_refused(&output, 2, &["mysql", "postgres://"]);
    assert!(!output.stderr[0].contains("s3cret"), "{output:#?}");
}

#[test]
fn a_file_with_a_bad_line_is_refused_with_the_line() {
    let home = TempDir::new();
    let file = home.path().join("numbers.txt");
    std::fs::write(&file, "10\n# a comment\n\n-7\n").unwrap();
    let arguments = ["submit".as_ref(), "--file".as_ref(), file.as_os_str()];
    assert_refused(&run(bare(&home, arguments)), 2, &["numbers.txt:4", "n is -7"]);
    refused(
        &["submit", "--file", "/nowhere/numbers.txt"],
        &["/nowhere/numbers.txt"],
    );
}

#[test]
fn a_refused_submission_queues_nothing() {
    let rig = Rig::new();
    rig.submit(&["7"]);
    assert_refused(&rig.run(["submit", "1", "2", "-3"]), 2, &["n is -3"]);
    assert_eq!(
        rig.run(["list", "--json"]).stdout.len(),
        1,
        "a refused submission left jobs"
    );
}
