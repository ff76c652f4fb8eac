//! Requirements on a server and the way to it: it can be written to, in UTF-8, with sessions that stay ours.
//!
//! A standby and a server that was made read-only pass, as an outage does; an encoding and a pooler do not.
//! Behind a pooler that gives each transaction another session, locks and notifications get lost without an error, so it
//! is looked for: a mark that one connection leaves on its session must stay there and be seen by no other connection.
//! It does not promise to find a pooler whose sessions happen to be all busy or all idle in a lucky order.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use uuid::Uuid;

use super::Address;
use crate::Error;

/// Bounds each of the connections, the questions and the end. A pooler that has a single session for both connections lets
/// one wait for the other, which counts as an outage.
const TIMEOUT: Duration = Duration::from_secs(5);

const STATE: &str = "select pg_is_in_recovery() as standby, current_setting('transaction_read_only') = 'on' as read_only, \
     (select pg_encoding_to_char(encoding) from pg_database where datname = current_database()) as encoding";

/// The session setting by which a session is recognised.
const MARK: &str = "abaci.session";

impl Address {
    /// Checks that what is asked for over a connection can be written.
    ///
    /// # Errors
    /// [`Error::Unreachable`] for a standby or a read-only server, [`Error::Unsuitable`] for another encoding than UTF-8.
    pub(crate) async fn check_writable(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let failed = |error: sqlx::Error| self.failure("asking for the state of the server", &error);
        let row = sqlx::query(STATE).fetch_one(connection).await.map_err(failed)?;
        let encoding: String = row.try_get("encoding").map_err(failed)?;
        if encoding != "UTF8" {
            let reason = format!(
                "its encoding is {encoding}; make one with: create database … encoding 'UTF8' template template0"
            );
            return Err(self.unsuitable(reason));
        }
        if row.try_get("standby").map_err(failed)? {
            return Err(self
                .unreachable("it is a standby, which cannot be written to until it is promoted".to_owned()));
        }
        if row.try_get("read_only").map_err(failed)? {
            let reason = "its sessions are read-only (default_transaction_read_only is on)".to_owned();
            return Err(self.unreachable(reason));
        }
        Ok(())
    }

    /// Checks that a session stays with its connection from one transaction to the next.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] behind a pooler in transaction mode, or what a failing connection says.
    pub(crate) async fn check_sessions(&self) -> Result<(), Error> {
        let mut one = self.connect(TIMEOUT).await?;
        let mut other = self.connect(TIMEOUT).await?;
        let stay = tokio::time::timeout(TIMEOUT, stay(&mut one, &mut other)).await;
        let closed = async { tokio::join!(one.close(), other.close()) };
        // They hold nothing; a failure to close one changes nothing.
        let _ = tokio::time::timeout(TIMEOUT, closed).await;
        match stay {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(self.unsuitable(
                "a pooler gives each transaction another session, where locks and notifications get lost; \
                 use its session mode, or the server itself"
                    .to_owned(),
            )),
            Ok(Err(error)) => Err(self.failure("looking for a pooler", &error)),
            Err(_) => Err(self.no_answer(TIMEOUT)),
        }
    }

    pub(super) fn unsuitable(&self, reason: String) -> Error {
        Error::Unsuitable {
            place: self.place.clone(),
            reason,
        }
    }
}

/// Tells whether a mark on the session of one connection stays there, while another connection is within a transaction.
///
/// No statement is prepared, which many a pooler in transaction mode cannot do.
async fn stay(one: &mut PgConnection, other: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let mark = Uuid::now_v7().to_string();
    run(one, &format!("set {MARK} = '{mark}'")).await?;
    // While this is open a pooler cannot give `one` the session that `other` has.
    run(other, "begin").await?;
    let is_seen_elsewhere = read(other).await? == mark;
    let is_here = read(one).await? == mark;
    // Where sessions are shared, the mark goes with the transaction that found it.
    run(other, &format!("set {MARK} = ''; commit")).await?;
    Ok(is_here && !is_seen_elsewhere)
}

async fn read(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let question = format!("select coalesce(current_setting('{MARK}', true), '') as mark");
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(question))
        .fetch_one(connection)
        .await?;
    rows.try_get("mark")
}

async fn run(connection: &mut PgConnection, statements: &str) -> Result<(), sqlx::Error> {
    let statements = sqlx::AssertSqlSafe(statements.to_owned());
    sqlx::raw_sql(statements).execute(connection).await.map(drop)
}
