//! The laboratory: each experiment shows what it claims, field by field, and does not when the broken form is run in the
//! place of the right one.

mod ex1;
mod ex2;
mod ex3;
mod ex4;
mod ex5;
mod ex6;
mod ex7;
mod ex8;
mod ex9;
mod leftovers;
mod page;

use serde_json::Value;

use crate::rig::{Rig, assert_refused, code, objects};

/// The error that a parked job ends with; abaci's own servers record the same words, and name the way out after them.
pub(crate) const POISON: &str =
    "Poison: the job was running when its worker died 3 times; it is parked and will not start again unasked";

/// Runs an experiment; what it claims must be observed.
#[track_caller]
pub(crate) fn observed(name: &str) -> Value {
    let rig = Rig::new();
    let output = rig.run(["lab", name, "--json"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    let report = objects(&output).remove(0);
    assert_eq!(
        (&report["experiment"], &report["observed"], &report["seed"]),
        (&name.into(), &true.into(), &7.into())
    );
    for text in ["title", "question", "method", "pattern", "claim"] {
        assert!(
            report[text].as_str().is_some_and(|text| text.len() > 10),
            "{text}: {report:#}"
        );
    }
    for case in report["cases"].as_array().unwrap() {
        assert!(
            ["broken", "right"].map(Value::from).contains(&case["form"]),
            "{case:#}"
        );
        for text in ["case", "expected", "happened", "why"] {
            assert!(
                case[text].as_str().is_some_and(|text| !text.is_empty()),
                "{text}: {case:#}"
            );
        }
    }
    assert!(report["seconds"].as_f64().unwrap() < 15.0, "{report:#}");
    assert_eq!(leftovers::schemas(&rig), [""; 0]);
    report
}

/// Runs an experiment with the broken form in the place of the right one; its claim must not be observed.
#[track_caller]
pub(crate) fn assert_falsified(name: &str) {
    let rig = Rig::new();
    let output = rig.run(["lab", name, "--json", "--swapped"]);
    assert_eq!(code(&output), 1, "{output:#?}");
    assert_eq!(objects(&output)[0]["observed"], false);
}

#[test]
fn an_experiment_that_does_not_exist_is_refused() {
    assert_refused(&Rig::new().run(["lab", "ex0"]), 2, &["ex0", "abaci lab list"]);
}

#[test]
fn a_database_that_does_not_answer_is_one_line() {
    let nowhere = ["lab", "ex1", "--database-url", "postgres://127.0.0.1:1/nowhere"];
    assert_refused(&Rig::new().run(nowhere), 3, &["127.0.0.1:1"]);
}

#[test]
fn the_list_names_every_experiment() {
    let output = Rig::new().run(["lab", "list"]);
    assert_eq!((code(&output), output.stdout.len()), (0, 10), "{output:#?}");
}

#[test]
fn an_actor_without_a_director_is_refused() {
    assert_refused(&Rig::new().run(["lab", "act"]), 2, &["abaci lab"]);
}
