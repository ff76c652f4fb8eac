//! The schema of a run: it goes with the run, or with the next one, and never while the run lives.

use testkit::{Output, Process, Signal, TempDir, eventually, is_alive};

use crate::rig::{self, Rig, bare, code, objects};

/// The schemas of runs that are in the database, one a line.
pub(crate) fn schemas(rig: &Rig) -> Vec<String> {
    let names = "select nspname from pg_namespace where nspname like 'lab%' order by nspname";
    rig.database.psql(names).lines().map(str::to_owned).collect()
}

/// Runs `abaci gc`, which wants to know where large values would be.
fn collect(rig: &Rig, flags: &[&str]) -> Output {
    std::fs::create_dir_all(rig.directory.path().join("data/artifacts")).unwrap();
    let output = rig.run(["gc"].iter().chain(flags));
    assert_eq!(code(&output), 0, "{output:#?}");
    output
}

/// Starts a run, and returns once a process of it is at work, whose id is the second value.
fn started(rig: &Rig) -> (Process, u32) {
    let run = Process::spawn(rig.abaci(["lab", "ex1"]));
    let line = run.wait_for_line("  step ");
    let pid = line.split_whitespace().nth(1).and_then(|pid| pid.parse().ok());
    let pid = pid.unwrap_or_else(|| panic!("no process id in {line:?}"));
    (run, pid)
}

/// Kills a run in the middle, and returns the name of the schema that it leaves.
fn killed(rig: &Rig) -> String {
    let (mut run, actor) = started(rig);
    run.kill();
    eventually("the end of the run's process", || !is_alive(actor));
    let [schema] = <[String; 1]>::try_from(schemas(rig)).unwrap();
    schema
}

#[test]
fn the_schema_of_a_killed_run_goes_with_the_next_run() {
    let rig = Rig::new();
    let schema = killed(&rig);
    let next = rig.run(["lab", "ex1"]);
    assert_eq!((code(&next), schemas(&rig)), (0, vec![]), "{next:#?}");
    let [line] = next.stderr.as_slice() else {
        panic!("not one line: {next:#?}")
    };
    assert!(line.starts_with(&format!("removed {schema} (")), "{line}");
}

#[test]
fn the_schemas_of_killed_runs_are_garbage() {
    let rig = Rig::new();
    let schema = killed(&rig);
    let dry = collect(&rig, &["--dry-run"]);
    assert!(
        dry.stdout[0].starts_with(&format!("would remove schema {schema} (")),
        "{dry:#?}"
    );
    let counted = "would remove 0 jobs and 0 artifacts (0 B), and 1 schema of killed runs of the laboratory";
    assert_eq!((dry.stdout.len(), &dry.stderr), (1, &vec![counted.to_owned()]));
    assert_eq!(schemas(&rig), [schema.as_str()]);

    let wet = collect(&rig, &["--json"]);
    let removed = &objects(&wet)[0]["lab_schemas"];
    assert_eq!(removed[0]["schema"], schema.as_str(), "{wet:#?}");
    assert!(removed[0]["bytes"].as_u64() > Some(0), "{wet:#?}");
    assert_eq!(schemas(&rig), [""; 0]);
    let again = collect(&rig, &[]);
    assert_eq!(again.stderr, ["removed 0 jobs and 0 artifacts (0 B)"]);
}

#[test]
fn garbage_of_the_laboratory_goes_where_no_worker_ever_ran() {
    let home = TempDir::new();
    let mut run = Process::spawn(bare(&home, ["lab", "ex1"]));
    run.wait_for_line("  step ");
    run.kill();
    let output = rig::run(bare(&home, ["gc"]));
    assert_eq!((code(&output), output.stdout.len()), (0, 1), "{output:#?}");
    assert!(
        output.stdout[0].starts_with("removed schema lab_ex1_"),
        "{output:#?}"
    );
}

#[test]
fn the_schema_of_a_living_run_stays_also_while_it_is_stopped() {
    let rig = Rig::new();
    let (run, _) = started(&rig);
    run.signal(Signal::STOP);
    let of_living = schemas(&rig);
    assert_eq!(code(&rig.run(["lab", "ex3"])), 0);
    collect(&rig, &[]);
    assert_eq!((of_living.len(), schemas(&rig)), (1, of_living));
    run.signal(Signal::CONT);
    let living = run.finish();
    assert_eq!((code(&living), schemas(&rig)), (0, vec![]), "{living:#?}");
}

#[test]
fn an_interrupted_run_cleans_up_at_once() {
    for signal in [Signal::INT, Signal::TERM] {
        let rig = Rig::new();
        let (run, actor) = started(&rig);
        run.signal(signal);
        let output = run.finish();
        assert_eq!((code(&output), schemas(&rig)), (130, vec![]), "{output:#?}");
        assert!(output.stderr.is_empty(), "{output:#?}");
        eventually("the end of the run's process", || !is_alive(actor));
    }
}

#[test]
fn a_run_whose_session_ends_does_not_go_on_without_its_schema() {
    let rig = Rig::new();
    let (run, actor) = started(&rig);
    rig.database.psql(
        "select pg_terminate_backend(pid) from pg_locks join pg_database on pg_database.oid = database \
         where locktype = 'advisory' and datname = current_database()",
    );
    let output = run.finish();
    assert_eq!((code(&output), schemas(&rig)), (1, vec![]), "{output:#?}");
    let error = output.stderr.join("\n");
    assert!(
        error.contains("the database session of this run has ended"),
        "{output:#?}"
    );
    eventually("the end of the run's process", || !is_alive(actor));
}
