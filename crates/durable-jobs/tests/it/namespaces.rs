//! Workers of one host name in two PID namespaces, as of containers that share it.

use std::process::Command;

use testkit::{Process, Signal, eventually};

use crate::rig::{ENDLESS, Rig, lasting, outcome};

/// Runs a command in a PID namespace of its own, with its own view of `/proc`.
fn apart(inner: &Command) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        command.env(name, value.expect("none is removed"));
    }
    command
}

/// Tests if the kernel lets this account have such namespaces, and says so where it does not.
fn can_be_apart() -> bool {
    let tried = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "true"])
        .output();
    let is_possible = tried.as_ref().is_ok_and(|output| output.status.success());
    if !is_possible {
        eprintln!("not tested: the kernel refuses another PID namespace: {tried:?}");
    }
    is_possible
}

impl Rig {
    fn worker_apart(&self, host: &str) -> Process {
        Process::ready(apart(&self.worker_command(host, self.database.url())))
    }
}

/// The sessions with the lock of slot 0.
const LOCK: &str = "pg_locks where locktype = 'advisory' and objsubid = 1 \
     and database = (select oid from pg_database where datname = current_database()) \
     and (classid::bigint << 32 | objid::bigint) = hashtextextended('abaci executor test-host/0', 0)";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_in_another_pid_namespace_is_judged_by_its_heartbeat() {
    if !can_be_apart() {
        return;
    }
    let rig = Rig::new();
    let client = rig.client().await;
    let worker = rig.worker_process("test-host");
    let id = client.submit_job(lasting(ENDLESS)).await.unwrap();
    let job = "select executor_id, status, recovery_attempts from dbos.workflow_status";
    let held = "test-host/0|PENDING|1";
    eventually("the claim", || rig.database.psql(job).trim() == held);
    // To it the number of the other's process is nobody's.
    let peer = rig.worker_apart("test-host");
    let rows = rig
        .database
        .psql("select executor_id from abaci.presence order by 1");
    assert_eq!(rows.trim(), "test-host/0\ntest-host/1");

    // So that it is not back before the peer has looked a few times.
    worker.signal(Signal::STOP);
    rig.database
        .psql(&format!("select pg_terminate_backend(pid) from {LOCK}"));
    let age = "select extract(epoch from now() - heartbeat_at) > 4 from abaci.presence where executor_id like '%/0'";
    eventually("a silence", || rig.database.psql(age).trim() != "f");
    assert_eq!(
        rig.database.psql(job).trim(),
        held,
        "a living worker's job was taken"
    );
    worker.signal(Signal::CONT);
    eventually("its return", || rig.count(LOCK) == 1);
    assert_eq!(
        rig.database.psql(job).trim(),
        held,
        "a living worker's job was taken"
    );
    drop(peer);
    client.cancel(&id).await.unwrap();
    outcome(&client, &id).await;
}
