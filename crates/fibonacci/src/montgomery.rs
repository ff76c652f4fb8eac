//! Arithmetic modulo an odd number without divisions.
//!
//! A residue a is held as a·R mod p with R = 2^64; [`Montgomery::mul`] of two such forms is the form of the
//! product, and of a form and a plain number the plain product. The reduction subtracts (p⁻¹ instead of the
//! usual −p⁻¹), so that it cannot overflow for any p below 2^63.
//!
//! Source: P. Montgomery, Math. Comp. 44 (1985).

/// Why a number cannot be a modulus here; terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModulusError {
    /// Zero or one.
    #[error("modulus {modulus} is too small: it must be above 1")]
    TooSmall {
        /// The modulus given.
        modulus: u64,
    },
    /// Divisible by two.
    #[error("modulus {modulus} is even: it must be odd")]
    Even {
        /// The modulus given.
        modulus: u64,
    },
    /// 2^63 or above.
    #[error("modulus {modulus} is too large: it must be below 2^63")]
    TooLarge {
        /// The modulus given.
        modulus: u64,
    },
}

/// The constants of one modulus.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Montgomery {
    modulus: u64,
    /// p⁻¹ mod 2^64.
    inverse: u64,
    /// 2^64 mod p: the form of 1.
    one: u64,
    /// 2^128 mod p: the form of 2^64.
    r_squared: u64,
}

impl Montgomery {
    /// Prepares for a modulus that is odd, above 1 and below 2^63.
    pub(crate) fn new(modulus: u64) -> Result<Self, ModulusError> {
        match modulus {
            0 | 1 => Err(ModulusError::TooSmall { modulus }),
            _ if modulus >> 63 != 0 => Err(ModulusError::TooLarge { modulus }),
            _ if modulus & 1 == 0 => Err(ModulusError::Even { modulus }),
            _ => Ok(Self::prepare(modulus)),
        }
    }

    /// The constants of a modulus that is known to be odd, above 1 and below 2^63.
    pub(crate) const fn prepare(modulus: u64) -> Self {
        // Newton: p·p ≡ 1 mod 8 gives 3 right bits, doubled five times.
        let mut inverse = modulus;
        let mut round = 0;
        while round < 5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(modulus.wrapping_mul(inverse)));
            round += 1;
        }
        let one = remainder(1 << 64, modulus);
        let r_squared = remainder(one as u128 * one as u128, modulus);
        Self {
            modulus,
            inverse,
            one,
            r_squared,
        }
    }

    /// The form of 1.
    pub(crate) const fn one(&self) -> u64 {
        self.one
    }

    /// The form of `plain`.
    pub(crate) fn form(&self, plain: u64) -> u64 {
        self.mul(self.reduced(plain), self.r_squared)
    }

    /// The number whose form is `form`.
    pub(crate) fn plain(&self, form: u64) -> u64 {
        self.mul(form, 1)
    }

    /// a·b·2^−64 mod p, for a and b below p.
    pub(crate) fn mul(&self, a: u64, b: u64) -> u64 {
        let product = u128::from(a) * u128::from(b);
        self.subtract_high(high(product), low(product))
    }

    /// (a + limb)·2^−64 mod p, for a below p and any limb.
    pub(crate) fn absorb(&self, a: u64, limb: u64) -> u64 {
        let (sum, carry) = a.overflowing_add(limb);
        self.subtract_high(u64::from(carry), sum)
    }

    /// a + b mod p, for a and b below p.
    pub(crate) fn add(&self, a: u64, b: u64) -> u64 {
        // Both are below 2^63, so the sum does not overflow.
        let sum = a + b;
        if sum >= self.modulus {
            sum - self.modulus
        } else {
            sum
        }
    }

    /// a − b mod p, for a and b below p.
    pub(crate) fn sub(&self, a: u64, b: u64) -> u64 {
        if a >= b { a - b } else { a + self.modulus - b }
    }

    /// `plain` mod p, without a division where it is already below p.
    pub(crate) fn reduced(&self, plain: u64) -> u64 {
        if plain < self.modulus {
            plain
        } else {
            plain % self.modulus
        }
    }

    /// A number of two limbs modulo p.
    pub(crate) fn wide(&self, value: u128) -> u64 {
        // The form of the upper limb is that limb times 2^64, which is its share of the value.
        self.add(self.form(high(value)), self.reduced(low(value)))
    }

    /// A number above −p and below p, modulo p.
    pub(crate) fn signed(&self, value: i64) -> u64 {
        let magnitude = value.unsigned_abs();
        if value < 0 {
            self.modulus - magnitude
        } else {
            magnitude
        }
    }

    /// The form of (2^64)^exponent.
    pub(crate) fn power_of_r(&self, exponent: usize) -> u64 {
        self.power(self.r_squared, exponent)
    }

    /// The form of a power of what has the form `base`.
    pub(crate) fn power(&self, base: u64, exponent: usize) -> u64 {
        let (mut power, mut square, mut left) = (self.one, base, exponent);
        while left != 0 {
            if left & 1 == 1 {
                power = self.mul(power, square);
            }
            square = self.mul(square, square);
            left >>= 1;
        }
        power
    }

    /// (high·2^64 + low)·2^−64 mod p, for high < p: the low limb is made zero by taking a multiple of p away.
    fn subtract_high(&self, above: u64, below: u64) -> u64 {
        // Its low limb is `below` by the choice of the factor, so only the high limbs are left to subtract.
        let multiple = u128::from(below.wrapping_mul(self.inverse)) * u128::from(self.modulus);
        let (difference, borrow) = above.overflowing_sub(high(multiple));
        if borrow {
            difference.wrapping_add(self.modulus)
        } else {
            difference
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a remainder is below its 64-bit modulus"
)]
const fn remainder(value: u128, modulus: u64) -> u64 {
    (value % modulus as u128) as u64
}

fn high(value: u128) -> u64 {
    (value >> 64) as u64
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn low(value: u128) -> u64 {
    value as u64
}
