//! Database URLs without the password in them.

use durable_jobs::database::check_url;
use url::{Url, form_urlencoded};

/// Returns a database URL without its password, whatever form that has; one that cannot be read is not shown at all.
pub(crate) fn redacted_url(url: &str) -> String {
    let shown = check_url(url).ok().and_then(|()| without_password(url, "***"));
    shown.map_or_else(|| "(cannot be read)".to_owned(), |(shown, _)| shown)
}

/// Splits a database URL into the URL with `placeholder` for a password (none at all where it is empty), and the password.
pub(crate) fn without_password(url: &str, placeholder: &str) -> Option<(String, Option<String>)> {
    let mut parsed = Url::parse(url).ok()?;
    let mut password = parsed.password().map(percent_decoded);
    if password.is_some() {
        parsed
            .set_password(Some(placeholder).filter(|text| !text.is_empty()))
            .ok()?;
    }
    // The driver and libpq read a password there too, and this one wins over that before the host.
    if parsed.query_pairs().any(|(key, _)| key == "password") {
        let pairs: Vec<(String, String)> = parsed.query_pairs().into_owned().collect();
        let kept = pairs.iter().filter(|(key, _)| key != "password");
        password = pairs
            .iter()
            .rfind(|(key, _)| key == "password")
            .map(|(_, value)| value.clone());
        let kept: Vec<_> = kept.collect();
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(kept)
            .finish();
        // libpq reads a blank as %20 only.
        let query = query.replace('+', "%20");
        parsed.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
    }
    Some((parsed.into(), password))
}

fn percent_decoded(text: &str) -> String {
    // Form encoding would read a plus as a blank; in a password it is a plus.
    let as_query = format!("_={}", text.replace('+', "%2B"));
    form_urlencoded::parse(as_query.as_bytes())
        .map(|(_, value)| value.into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let with_user = "postgres://ada:s3cr%2Bt@db.example:5432/abaci?sslmode=require";
        assert_eq!(
            redacted_url(with_user),
            "postgres://ada:***@db.example:5432/abaci?sslmode=require"
        );
        assert!(!redacted_url("postgres:///abaci?host=/run&password=s3cret").contains("s3cret"));
        assert!(!redacted_url("not a url with s3cret").contains("s3cret"));
    }

    #[test]
    fn the_password_can_be_told_apart_from_the_rest() {
        let (url, password) = without_password("postgres://ada:s3cr%2Bt@db/abaci", "").unwrap();
        assert_eq!(
            (url.as_str(), password.as_deref()),
            ("postgres://ada@db/abaci", Some("s3cr+t"))
        );
    }

    #[test]
    fn what_psql_is_given_means_the_same_to_it() {
        let given = "postgres:///jobs?options=-c%20statement_timeout%3D5s&password=first&password=last";
        let (url, password) = without_password(given, "").unwrap();
        assert_eq!(
            (url.as_str(), password.as_deref()),
            (
                "postgres:///jobs?options=-c%20statement_timeout%3D5s",
                Some("last")
            )
        );
    }

    #[test]
    fn the_address_of_a_private_database_stays_as_it_is() {
        let url = "postgres:///abaci?host=%2Frun%2Fabaci&port=5432&user=postgres";
        assert_eq!(without_password(url, "").unwrap(), (url.to_owned(), None));
    }
}
