//! The clients of `docs/clients`, as they stand.

use std::path::Path;
use std::process::Command;

use testkit::Output;

use super::rig::{TOKEN, WebFleet, WebRig};
use crate::rig::{code, objects, run};

/// The ways to run them that their first lines name; each is followed by the index and the key.
const CLIENTS: [(&str, &str); 3] = [
    ("curl", "./fibonacci.sh"),
    ("python", "python3 fibonacci.py"),
    ("node", "node --input-type=module - < fibonacci.ts"),
];

/// Runs a client to its end.
fn ask(web: &WebFleet, client: &str, (n, key): (&str, &str)) -> Output {
    let mut command = Command::new("bash");
    command
        .args(["-c", &format!("{client} {n} {key}")])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/clients"))
        .env("SERVER_URL", &web.url)
        .env("ABACI_WEB_TOKEN", TOKEN);
    run(command)
}

#[test]
fn clients_in_three_languages_submit_follow_and_print() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1"]);
    for (key, client) in CLIENTS {
        for _again in 0..2 {
            let output = ask(&web, client, ("100", key));
            assert_eq!(code(&output), 0, "{client}: {output:#?}");
            assert_eq!(output.stdout, ["354224848179261915075"], "{client}: {output:#?}");
        }
    }
    let jobs = objects(&rig.run(&["list", "--json"]));
    assert_eq!(
        jobs.len(),
        CLIENTS.len(),
        "a repeated request was queued: {jobs:#?}"
    );
}

#[test]
fn clients_in_three_languages_say_why_a_job_failed() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1", "--job-cpu-time", "10ms"]);
    for (key, client) in CLIENTS {
        let output = ask(&web, client, ("1000000000", key));
        assert_ne!(code(&output), 0, "{client}: {output:#?}");
        let said = output.stderr.join("\n");
        assert!(said.contains("processor time"), "{client}: {said}");
    }
}
