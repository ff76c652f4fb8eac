//! Fields that may be written in more than one form, as the description has them.

use serde::{Deserialize, Serializer};
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

/// The largest number up to which every reader of JSON knows each.
const EXACT: u64 = 1 << 53;

/// Writes a whole number as one that every reader takes for itself: as text where it is over 2^53.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) fn whole<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    // Beyond this, readers that take numbers for floating point would round it without a word.
    if *number <= EXACT {
        serializer.serialize_u64(*number)
    } else {
        serializer.collect_str(number)
    }
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
