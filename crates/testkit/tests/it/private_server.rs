use testkit::{PrivateServer, Process, child, eventually};

use crate::psql;

#[test]
fn a_stopped_private_server_loses_nothing() {
    let mut server = PrivateServer::new();
    let url = server.create_database("mine");
    server.psql("mine", "create table t (n int)");
    for (rows, end) in [
        PrivateServer::stop_immediate,
        PrivateServer::kill,
        PrivateServer::stop,
    ]
    .into_iter()
    .enumerate()
    {
        server.psql("mine", &format!("insert into t values ({rows})"));
        end(&mut server);
        let psql = psql()
            .args(["-X", "-d", &url, "-c", "select 1"])
            .output()
            .unwrap();
        assert!(!psql.status.success(), "the server answers after its end");
        server.start();
        assert_eq!(
            server.psql("mine", "select count(*) from t"),
            (rows + 1).to_string()
        );
    }
}

#[test]
fn a_private_server_leaves_no_directory() {
    let server = PrivateServer::new();
    let data_dir = server.data_dir();
    assert!(data_dir.join("PG_VERSION").exists());
    drop(server);
    assert!(
        !data_dir.parent().unwrap().exists(),
        "{} is still there",
        data_dir.display()
    );
}

/// Names its server's directory, and waits for its end.
pub(crate) fn own_a_server() {
    let server = PrivateServer::new();
    eprintln!("directory {}", server.data_dir().parent().unwrap().display());
    std::io::stdin().lines().count();
}

#[test]
fn a_private_server_ends_with_a_test_that_is_killed() {
    let mut owner = Process::spawn(child::command("owner of a server"));
    let dir = std::path::PathBuf::from(owner.wait_for_line("directory").replace("directory ", ""));
    assert!(dir.exists());
    owner.kill();
    eventually("the end of the server and its directory", || !dir.exists());
}
