use testkit::TestDatabase;

use crate::psql;

#[test]
fn two_databases_share_a_server_and_no_table() {
    let (one, two) = (TestDatabase::create(), TestDatabase::create());
    one.psql("create table t (n int); insert into t values (1), (2)");
    assert_eq!(one.psql("select n, n * 2 from t order by n"), "1|2\n2|4");
    assert_eq!(
        two.psql("select count(*) from pg_tables where tablename = 't'"),
        "0"
    );
    let started = "select pg_postmaster_start_time()";
    assert_eq!(one.psql(started), two.psql(started), "they are on two servers");
}

#[test]
fn a_database_goes_with_its_value_despite_connections() {
    let (kept, dropped) = (TestDatabase::create(), TestDatabase::create());
    let mut command = psql();
    command.args(["-X", "-A", "-t", "-d", dropped.url()]);
    let mut session = testkit::Process::spawn(command);
    session.write_line("select 'connec' || 'ted';");
    session.wait_for_line("connected");
    let name = dropped.name().to_owned();
    drop(dropped);
    let there = kept.psql(&format!(
        "select count(*) from pg_database where datname = '{name}'"
    ));
    assert_eq!(there, "0", "{name} is still there");
}

#[test]
fn the_server_keeps_what_it_acknowledges() {
    let database = TestDatabase::create();
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        assert_eq!(database.psql(&format!("show {setting}")), "on", "{setting}");
    }
}

#[test]
#[should_panic(expected = "syntax error")]
fn a_refused_statement_panics_with_the_servers_reason() {
    TestDatabase::create().psql("selec 1");
}
