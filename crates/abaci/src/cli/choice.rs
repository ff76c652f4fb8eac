//! Values that have names.

use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Reads the name of one of these values.
///
/// So the help lists the names, a shell offers them, and who misspells one is told the nearest.
pub(crate) fn one_of<T: Copy + Send + Sync + 'static, const COUNT: usize>(
    values: [T; COUNT],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(values.map(name)).try_map(move |given| {
        let named = values.into_iter().find(|value| name(*value) == given);
        named.ok_or("there is no such name")
    })
}
