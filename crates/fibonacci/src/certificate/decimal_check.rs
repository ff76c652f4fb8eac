//! Digits compared with a certificate in the order they come, in constant memory.
//!
//! What is kept of a text is its length, its residues and at most 511 digits, under 2 KB, so the digits of
//! F(10⁹) can be checked while they are read from a file or a network. Only the end decides: until then a
//! damaged digit is not noticed, but for a byte that is no digit, and that is not said before the end either.

use super::{Certificate, FIELDS, Mismatch};
use crate::modular::DecimalReader;

/// Reads a decimal text in pieces and compares it with a certificate at the end.
///
/// ```
/// let mut check = fibonacci::DecimalCheck::new();
/// check.update(b"3542248481");
/// check.update(b"79261915075");
/// assert_eq!(check.finish(&fibonacci::Certificate::for_index(100)), Ok(()));
/// ```
pub struct DecimalCheck {
    reader: DecimalReader<3>,
}

impl DecimalCheck {
    /// Starts with an empty text.
    #[must_use]
    pub fn new() -> Self {
        Self {
            reader: DecimalReader::new(FIELDS),
        }
    }

    /// Appends the next bytes of the text, highest digits first; pieces of any size give the same outcome.
    ///
    /// About 0.1 ns a digit in pieces of 64 KiB and more; those above 2 MB are read on two threads, if there are
    /// two processors.
    pub fn update(&mut self, piece: &[u8]) {
        self.reader.update(piece);
    }

    /// Compares what was read, which must be the whole text.
    ///
    /// # Errors
    /// [`Mismatch`] as from [`Certificate::check_decimal`]: positions are offsets into the whole text; terminal.
    pub fn finish(self, certificate: &Certificate) -> Result<(), Mismatch> {
        let found = self.reader.length_bytes();
        let residues = self
            .reader
            .finish()
            .map_err(|position| Mismatch::NotADigit { position })?;
        // Second, because a byte that is no digit makes the length wrong too, and is the better reason.
        if found != certificate.digits {
            return Err(Mismatch::Digits {
                expected: certificate.digits,
                found,
            });
        }
        certificate.check_residues(residues)
    }
}

impl Default for DecimalCheck {
    fn default() -> Self {
        Self::new()
    }
}
