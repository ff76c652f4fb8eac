//! The bases that numbers are written in: powers of ten and of two that fit a place.

/// A base between 2 and 2^14.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// 10^digits, 1 ≤ digits ≤ 4.
    Decimal(u32),
    /// 2^bits, 1 ≤ bits ≤ 13.
    Binary(u32),
}

impl Base {
    /// The widest of the decimal bases.
    pub(crate) const DECIMAL: Self = Self::Decimal(4);
    /// The widest of the binary bases.
    pub(crate) const BINARY: Self = Self::Binary(13);

    /// The number itself.
    pub(crate) fn value(self) -> i32 {
        match self {
            Self::Decimal(digits) => 10i32.pow(digits),
            Self::Binary(bits) => 1 << bits,
        }
    }

    /// The next narrower base; the narrowest is its own.
    ///
    /// No memory holds a number for which the narrowest one would not be proven.
    pub(crate) fn narrower(self) -> Self {
        match self {
            Self::Decimal(digits) => Self::Decimal((digits - 1).max(1)),
            Self::Binary(bits) => Self::Binary(bits.saturating_sub(1).max(1)),
        }
    }
}
