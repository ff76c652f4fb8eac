//! A job that is accepted has the memory that it needs, to the last megabyte, and so has what goes on from its state.

use std::fs;
use std::io::{self, Write};
use std::process::{self, Stdio};

use serde_json::{Value, json};

use crate::rig::{Rig, bare, code, objects};

const N: u64 = 200_000_000;

/// Reads from a refusal what F(n) needs.
fn needed_megabytes(rig: &Rig, n: u64) -> u64 {
    let refused = rig.run(["submit", "--job-memory", "1MB", &n.to_string()]);
    let words: Vec<&str> = refused.stderr[0].split(' ').collect();
    let unit = words.iter().position(|word| *word == "MB");
    words[unit.unwrap_or_else(|| panic!("{refused:#?}")) - 1]
        .parse()
        .unwrap()
}

#[test]
fn a_job_accepted_at_exactly_its_estimate_succeeds() {
    let rig = Rig::new();
    let needed = needed_megabytes(&rig, N);
    let n = N.to_string();
    let too_little = format!("{}MB", needed - 1);
    let refused = rig.run(["submit", "--job-memory", &too_little, &n]);
    assert_ne!(code(&refused), 0, "{refused:#?}");
    let enough = format!("{needed}MB");
    let _server = rig.server(&["--job-memory", &enough]);
    for algorithm in ["giant", "doubling"] {
        let arguments = ["--job-memory", &enough, "--algorithm", algorithm, &n];
        let id = rig.submit(&arguments).remove(0);
        let waited = rig.run(["wait", "--json", &id]);
        assert_eq!(code(&waited), 0, "{algorithm}: {waited:#?}");
        assert_eq!(objects(&waited)[0]["attempts"], 1, "{waited:#?}");
    }
}

#[test]
fn what_goes_on_from_a_state_needs_no_more_than_what_began() {
    let rig = Rig::new();
    let bytes = needed_megabytes(&rig, N) * 1_000_000;
    let directory = rig.directory.path();
    let place = |name: &str| json!({ "directory": directory, "name": name });
    let request = json!({ "n": N, "algorithm": "giant" });
    let stop = json!({ "k": N / 2, "place": place("state") });
    for threads in [1, 2] {
        let begun =
            json!({ "request": request, "stops": [stop], "place": place("begun"), "threads": threads });
        let [state, begun] = computed(&rig, bytes, &begun).try_into().unwrap();
        let from = json!({ "path": directory.join("state"), "blake3": state["state"]["file"]["blake3"] });
        let resumed =
            json!({ "request": request, "from": from, "place": place("resumed"), "threads": threads });
        let [resumed] = computed(&rig, bytes, &resumed).try_into().unwrap();
        assert_eq!(
            begun["digits"]["file"], resumed["digits"]["file"],
            "{threads} threads"
        );
        for name in ["state", "begun", "resumed"] {
            fs::remove_file(directory.join(name)).unwrap();
        }
    }
}

/// Has the program do a task as a worker would, in so many bytes; returns what it says that it has done.
fn computed(rig: &Rig, bytes: u64, task: &Value) -> Vec<Value> {
    let order = json!({ "name": "fibonacci", "task": task, "memory_bytes": bytes, "cpu_seconds": null });
    let mut child = bare(
        &rig.directory,
        ["compute", "--worker", &process::id().to_string()],
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    // Kept open: the program ends with it.
    let mut orders = child.stdin.take().unwrap();
    writeln!(orders, "{order}").unwrap();
    let said = io::read_to_string(child.stdout.take().unwrap()).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}: {said}");
    let said = said.lines().map(|line| serde_json::from_str(line).unwrap());
    said.filter_map(|said: Value| {
        let output = said.get("sent").or_else(|| said.get("done"));
        output.map(|output| output["what"].clone())
    })
    .collect()
}
