//! Where a database is, read as `psql` reads its address.
//!
//! The driver reads most of a libpq URL; what it misreads or passes over in silence is put right or refused by name here:
//! credentials without a host, a bracketed address, encryption asked of a Unix socket, certificates that are not there,
//! and every parameter that it does not know.
//! What comes out is one URL that our driver and the engine's read alike. No message quotes a value that may be secret.

use std::fs::File;
use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::form_urlencoded::{Serializer, parse};

use crate::Error;
use crate::record::APPLICATION;

/// Where a database is: what connects there, and what may be printed of it.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) options: PgConnectOptions,
    /// The same for the engine, password included.
    pub(crate) url: String,
    pub(crate) place: String,
}

/// Parameters that the driver reads as libpq does.
const READ: [&str; 10] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "sslmode",
    "application_name",
    "options",
    "statement-cache-capacity",
];

/// Parameters that name a file.
const FILES: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];

/// Values with which a parameter changes nothing here.
const WITHOUT_EFFECT: [(&str, &[&str]); 4] = [
    ("channel_binding", &["disable", "prefer"]),
    ("gssencmode", &["disable", "prefer"]),
    ("client_encoding", &["auto", "utf8", "UTF8"]),
    // Everything here needs a server that can be written to, and says so where it is none.
    ("target_session_attrs", &["any", "primary", "read-write"]),
];

/// The way out for a parameter that many an address has.
const INSTEAD: [(&str, &str); 3] = [
    (
        "channel_binding",
        "leave it out; the connection is encrypted as sslmode says",
    ),
    ("service", "write out what the service file says"),
    (
        "target_session_attrs",
        "a server that can be written to is needed; give read-write",
    ),
];

const SEVERAL_HOSTS: &str = "it names several hosts; give the one that can be written to";

/// The words where a part of a password may have been taken for something else; they quote nothing for that reason.
const NEEDS_ENCODING: &str =
    "it cannot be read; in a password the signs / ? # & [ ] @ : need percent-encoding";

/// The parts of a URL that stand outside of its parameters, percent-encoding removed.
#[derive(Default)]
struct Authority {
    user: Option<String>,
    password: Option<String>,
    host: Option<String>,
    port: Option<String>,
}

impl Address {
    /// Reads a URL; nothing is connected.
    ///
    /// # Errors
    /// [`Error::Url`], which names the part that is wrong and never the password.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let url = canonical(url)?;
        // The parser's own message may quote the address, password included.
        let options = PgConnectOptions::from_str(&url).map_err(|_| refused("it cannot be read"))?;
        let is_socket = options.get_socket().is_some() || options.get_host().starts_with('/');
        let (options, url) = if is_socket {
            // As in libpq, whatever the environment asks for: nobody listens in on a socket.
            (
                options.ssl_mode(PgSslMode::Disable),
                // Behind what the URL says itself: of two the driver takes the last.
                format!("{url}&sslmode=disable"),
            )
        } else {
            (options, url)
        };
        Ok(Self {
            place: place_of(&options),
            // The driver would log every statement that takes over a second as a warning.
            options: options.application_name(APPLICATION).disable_statement_logging(),
            url,
        })
    }

    /// Gives the sessions that are opened here a name, by which the server knows them.
    pub(crate) fn named(mut self, sessions: &str) -> Self {
        self.options = self.options.application_name(sessions);
        self
    }
}

/// Rewrites a URL with all that it says in parameters, each of which the driver reads.
fn canonical(url: &str) -> Result<String, Error> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(refused("there is no scheme"));
    };
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err(refused(format!("the scheme is {scheme:?}")));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // What stands before it would be taken for a place, and be shown.
    if path.contains('@') {
        return Err(refused(NEEDS_ENCODING));
    }
    let authority = Authority::parse(authority)?;
    let mut parameters = Serializer::new(String::new());
    let parts = [
        ("user", authority.user),
        ("password", authority.password),
        ("host", authority.host),
        ("port", authority.port),
    ];
    for (name, value) in parts {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            parameters.append_pair(name, &value);
        }
    }
    for (name, value) in parse(query.as_bytes()) {
        if let Some((name, value)) = checked(&name, &value)? {
            parameters.append_pair(name, value);
        }
    }
    // A blank as libpq reads it, too: the URL is given to psql. A plus is encoded, so what is one here was a blank.
    let parameters = parameters.finish().replace('+', "%20");
    Ok(format!("postgres:///{path}?{parameters}"))
}

impl Authority {
    fn parse(text: &str) -> Result<Self, Error> {
        let (credentials, place) = match text.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, text),
        };
        let (user, password) = match credentials.map(|both| both.split_once(':').unwrap_or((both, ""))) {
            Some((user, password)) => (Some(decoded(user)?), Some(decoded(password)?)),
            None => (None, None),
        };
        if place.contains(',') {
            return Err(refused(SEVERAL_HOSTS));
        }
        let (host, port) = match place.strip_prefix('[') {
            Some(bracketed) => {
                let (host, port) = bracketed
                    .split_once(']')
                    .ok_or_else(|| refused("a bracket is not closed"))?;
                (host, port.strip_prefix(':'))
            }
            None => match place.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        if port.is_some_and(|port| !port.is_empty() && port.parse::<u16>().is_err()) {
            return Err(refused(NEEDS_ENCODING));
        }
        Ok(Self {
            user,
            password,
            host: Some(decoded(host)?),
            port: port.map(str::to_owned),
        })
    }
}

/// Removes percent-encoding.
fn decoded(text: &str) -> Result<String, Error> {
    // A plus sign is itself outside of parameters.
    let as_query = format!("_={}", text.replace('+', "%2B").replace('&', "%26"));
    let value = parse(as_query.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned());
    value
        // The parser replaces what is no UTF-8; a password that was changed so would only be refused later.
        .filter(|value| !value.contains(char::REPLACEMENT_CHARACTER))
        .ok_or_else(|| refused("its percent-encoding is no UTF-8"))
}

/// A parameter as the driver wants it; none for one that changes nothing here.
fn checked<'a>(name: &'a str, value: &'a str) -> Result<Option<(&'a str, &'a str)>, Error> {
    if name == "ssl" && value == "true" {
        return Ok(Some(("sslmode", "require")));
    }
    if name == "sslmode" && value.parse::<PgSslMode>().is_err() {
        return Err(refused(format!(
            "sslmode is {value:?}; give disable, allow, prefer, require, verify-ca or verify-full"
        )));
    }
    if matches!(name, "host" | "hostaddr") && value.contains(',') {
        return Err(refused(SEVERAL_HOSTS));
    }
    if FILES.contains(&name) {
        return readable(name, value).map(|()| Some((name, value)));
    }
    if READ.contains(&name) || name.starts_with("options[") {
        return Ok(Some((name, value)));
    }
    let has_no_effect = WITHOUT_EFFECT
        .iter()
        .any(|(known, values)| *known == name && values.contains(&value));
    if has_no_effect {
        return Ok(None);
    }
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || "-_".contains(c));
    // A piece that looks like no parameter is rather a part of a password, so no message below may quote it.
    if value.is_empty() || !is_name(name) {
        return Err(refused(NEEDS_ENCODING));
    }
    if name == "connect_timeout" {
        return Err(Error::UrlTimeout);
    }
    let instead = INSTEAD.iter().find(|(known, _)| *known == name);
    let way_out = instead.map_or("leave it out", |(_, way_out)| way_out);
    let is_known = WITHOUT_EFFECT.iter().any(|(known, _)| *known == name);
    Err(refused(if is_known {
        format!("{name}={value} is not supported; {way_out}")
    } else {
        format!("the parameter {name:?} is not supported; {way_out}")
    }))
}

/// Refuses a file that is not there before a connection attempt says only that something was not found.
fn readable(name: &str, file: &str) -> Result<(), Error> {
    if file == "system" {
        return Err(refused(format!(
            "{name}=system is not supported; name a file with the certificates"
        )));
    }
    // The driver also takes the text of a certificate.
    if file.trim_start().starts_with("-----BEGIN") {
        return Ok(());
    }
    File::open(file).map(drop).map_err(|error| {
        // What has a line break may be a key.
        let file = Some(file).filter(|file| !file.contains('\n'));
        refused(format!(
            "{name} {:?} cannot be read: {error}",
            file.unwrap_or("…")
        ))
    })
}

fn refused(reason: impl Into<String>) -> Error {
    Error::Url {
        reason: reason.into(),
    }
}

fn place_of(options: &PgConnectOptions) -> String {
    // As the server has it.
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    let (host, port) = (options.get_host(), options.get_port());
    match options.get_socket() {
        Some(socket) => format!("{}/{database}", socket.display()),
        None if host.starts_with('/') => format!("{host}/{database}"),
        None if host.contains(':') => format!("[{host}]:{port}/{database}"),
        None => format!("{host}:{port}/{database}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[track_caller]
    fn refusal(url: &str) -> String {
        let error = match Address::parse(url) {
            Ok(address) => panic!("{url} was read as {}", address.place),
            Err(error) => error.to_string(),
        };
        assert!(!error.contains("s3cret"), "{error}");
        error
    }

    #[test]
    fn a_blank_is_one_to_psql_too() {
        let given = "postgres://a%20b@db.example/jobs?options=-c%20x%3D1%2B1";
        let url = address(given).url;
        assert!(
            url.contains("user=a%20b&") && url.contains("-c%20x%3D1%2B1"),
            "{url}"
        );
    }

    #[test]
    fn an_address_means_what_it_means_to_psql() {
        for (url, place, user) in [
            (
                "postgres://ada:s3cret@db.example:6432/jobs",
                "db.example:6432/jobs",
                "ada",
            ),
            ("postgresql://ada@db.example/jobs", "db.example:5432/jobs", "ada"),
            ("postgres://ada@[::1]:6432/jobs", "[::1]:6432/jobs", "ada"),
            ("postgres://ada@/jobs?host=::1", "[::1]:5432/jobs", "ada"),
            ("postgres://ada:s3cret@/jobs?host=/run/pg", "/run/pg/jobs", "ada"),
            ("postgres://ada@%2Frun%2Fpg/jobs", "/run/pg/jobs", "ada"),
            (
                "postgres:///jobs?host=/run/pg&port=5432&user=ada",
                "/run/pg/jobs",
                "ada",
            ),
            (
                "postgres://a%40b:s3%2Fcret@db.example/jobs",
                "db.example:5432/jobs",
                "a@b",
            ),
            ("postgres://ada@db.example", "db.example:5432/ada", "ada"),
        ] {
            let address = address(url);
            assert_eq!(
                (address.place.as_str(), address.options.get_username()),
                (place, user),
                "{url}"
            );
            assert_eq!(
                self::address(&address.url).place,
                place,
                "the engine goes elsewhere: {url}"
            );
        }
    }

    #[test]
    fn a_socket_is_never_encrypted() {
        let mode = |url| format!("{:?}", address(url).options.get_ssl_mode());
        assert_eq!(mode("postgres:///jobs?host=/run/pg&sslmode=require"), "Disable");
        assert_eq!(mode("postgres://db.example/jobs?sslmode=require"), "Require");
        assert_eq!(mode("postgres://db.example/jobs?ssl=true"), "Require");
        assert!(
            address("postgres:///jobs?host=/run/pg")
                .url
                .ends_with("sslmode=disable")
        );
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (url, words) in [
            ("mysql://root:s3cret@localhost/abaci", "\"mysql\""),
            ("localhost/abaci", "there is no scheme"),
            ("postgres://root:s3cret@localhost:port/abaci", "percent-encoding"),
            ("postgres://root:a/s3cret@localhost/abaci", "percent-encoding"),
            ("postgres://root:12/s3cret@db.example/jobs", "percent-encoding"),
            ("postgres://ada:?s3cret@db.example/jobs", "percent-encoding"),
            ("postgres://ada:12?s3cret@db.example", "percent-encoding"),
            ("postgres://ada@one/jobs?password=ab&s3cret", "percent-encoding"),
            ("postgres://ada@one,two/jobs", "several hosts"),
            ("postgres://ada@/jobs?host=one,two", "several hosts"),
            ("postgres://ada@one/jobs?service=s3", "\"service\""),
            (
                "postgres://ada@one/jobs?connect_timeout=3",
                "ClientSettings::patience",
            ),
            ("postgres://ada@one/jobs?pgbouncer=true", "\"pgbouncer\""),
            (
                "postgres://ada@one/jobs?channel_binding=require",
                "channel_binding=require",
            ),
            (
                "postgres://ada@one/jobs?target_session_attrs=standby",
                "read-write",
            ),
            ("postgres://ada@one/jobs?sslmode=always", "verify-full"),
            ("postgres://ada@one/jobs?sslrootcert=system", "sslrootcert=system"),
            (
                "postgres://ada@one/jobs?sslrootcert=/no/such.pem",
                "\"/no/such.pem\"",
            ),
        ] {
            let refusal = refusal(url);
            assert!(refusal.contains(words), "{words:?} is not in: {refusal}");
        }
    }

    #[test]
    fn what_changes_nothing_is_let_through() {
        for parameter in [
            "channel_binding=prefer",
            "gssencmode=disable",
            "target_session_attrs=read-write",
        ] {
            address(&format!("postgres://ada@one/jobs?{parameter}"));
        }
    }
}
