//! Fields that may be written in more than one form, as the description has them.

use serde::Deserialize;
use utoipa::ToSchema;

/// A whole number, as a number or as text: what is over 2^53 is a text for readers that know no such numbers.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Index)]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) enum IndexBody {
    Number(u64),
    #[schema(title = "Text")]
    Text(String),
}

/// One word, or several.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Tags)]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) enum TagBody {
    One(String),
    Several(Vec<String>),
}
