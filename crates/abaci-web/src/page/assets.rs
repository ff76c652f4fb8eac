//! The stylesheet and the script, under names that change with their contents.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::problem::{Kind, Problem};

/// Lets browsers keep a file for ever: its name changes with its contents.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// A file of the page.
pub(super) struct Asset {
    name: String,
    kind: &'static str,
    text: String,
}

pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("style", "css", include_str!("../../assets/style.css")));
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("page", "js", include_str!("../../assets/page.js")));
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", include_str!("../../assets/icon.svg")));

impl Asset {
    /// Makes a file of its source, without the lines that are comments and without indentation: a browser needs neither.
    fn new(stem: &str, ending: &str, source: &str) -> Self {
        // No text within these sources goes over a line, or has one that begins with `//`.
        let lines = source.lines().map(str::trim_start);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
        let text = lines.collect::<Vec<_>>().join("\n");
        let hash = blake3::hash(text.as_bytes()).to_hex();
        let kind = match ending {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            _ => "image/svg+xml",
        };
        Self {
            name: format!("{stem}-{}.{ending}", &hash[..16]),
            kind,
            text,
        }
    }

    /// The path of the file.
    pub(super) fn path(&self) -> String {
        format!("/static/{}", self.name)
    }
}

/// Answers a file of the page.
pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, Problem> {
    let known: [&'static Asset; 3] = [&STYLE, &SCRIPT, &ICON];
    // A page of another version asks for another hash, and is not given what does not fit to it.
    let found = known.into_iter().find(|asset| asset.name == name);
    let asset =
        found.ok_or_else(|| Problem::new(Kind::NotFound, "the page has no such file; load the page anew"))?;
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, FOR_EVER),
    ];
    Ok((headers, asset.text.as_str()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_leave_room_within_the_weight_of_a_page() {
        assert!(
            SCRIPT.text.len() <= 12_000,
            "the script has {} bytes",
            SCRIPT.text.len()
        );
        assert!(
            STYLE.text.len() <= 16_000,
            "the style has {} bytes",
            STYLE.text.len()
        );
    }
}
