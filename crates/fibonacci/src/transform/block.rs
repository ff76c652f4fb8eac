//! Eight complex numbers at a time: in memory, and in the widest registers there are.

use std::ops::{Add, Mul, Sub};

use fearless_simd::{Simd, f64x8, prelude::*};

/// Complex numbers in one [`Block`].
pub(crate) const LANES: usize = 8;

/// Eight complex numbers in memory, at neighbouring places.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
// 64 bytes are a cache line and the widest register, so `re` and `im` are each loaded from one line.
#[repr(C, align(64))]
pub(crate) struct Block {
    pub(crate) re: [f64; LANES],
    pub(crate) im: [f64; LANES],
}

/// A root of unity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Root {
    pub(crate) re: f64,
    pub(crate) im: f64,
}

/// The operations that round; a negation and a turn do not.
#[derive(Clone, Copy)]
pub(super) enum Operation {
    Sum,
    Product,
}

/// Eight complex numbers in registers.
#[derive(Clone, Copy)]
pub(super) struct Lanes<S: Simd> {
    pub(super) re: f64x8<S>,
    pub(super) im: f64x8<S>,
}

impl<S: Simd> Lanes<S> {
    #[inline(always)]
    pub(super) fn load(simd: S, block: &Block) -> Self {
        Self {
            re: f64x8::load_array_ref(simd, &block.re),
            im: f64x8::load_array_ref(simd, &block.im),
        }
    }

    /// The same root eight times.
    #[inline(always)]
    pub(super) fn splat(simd: S, root: Root) -> Self {
        Self {
            re: f64x8::splat(simd, root.re),
            im: f64x8::splat(simd, root.im),
        }
    }

    #[inline(always)]
    pub(super) fn store(self, block: &mut Block) {
        block.re = self.re.into();
        block.im = self.im.into();
    }

    /// Times i.
    #[inline(always)]
    pub(super) fn turned(self) -> Self {
        Self {
            re: -self.im,
            im: self.re,
        }
    }

    /// Plus i times the other.
    #[inline(always)]
    pub(super) fn add_turned(self, other: Self) -> Self {
        let sum = Self {
            re: self.re - other.im,
            im: self.im + other.re,
        };
        sum.rounded(Operation::Sum)
    }

    /// Minus i times the other.
    #[inline(always)]
    pub(super) fn sub_turned(self, other: Self) -> Self {
        let sum = Self {
            re: self.re + other.im,
            im: self.im - other.re,
        };
        sum.rounded(Operation::Sum)
    }

    /// Times the conjugate of the other.
    #[inline(always)]
    pub(super) fn mul_conjugate(self, other: Self) -> Self {
        let product = Self {
            re: self.re.mul_add(other.re, self.im * other.im),
            im: self.im.mul_sub(other.re, self.re * other.im),
        };
        product.rounded(Operation::Product)
    }

    #[cfg(not(test))]
    #[inline(always)]
    fn rounded(self, _: Operation) -> Self {
        self
    }

    /// Errs more than the processor does, if a test wants it so.
    #[cfg(test)]
    #[inline(always)]
    fn rounded(self, operation: Operation) -> Self {
        let factor = super::rounding::factor(operation);
        Self {
            re: self.re * factor,
            im: self.im * factor,
        }
    }
}

impl<S: Simd> Add for Lanes<S> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let sum = Self {
            re: self.re + other.re,
            im: self.im + other.im,
        };
        sum.rounded(Operation::Sum)
    }
}

impl<S: Simd> Sub for Lanes<S> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        let sum = Self {
            re: self.re - other.re,
            im: self.im - other.im,
        };
        sum.rounded(Operation::Sum)
    }
}

impl<S: Simd> Mul for Lanes<S> {
    type Output = Self;

    /// Fused where the processor can: the error is below √5·ε either way, see `bound`.
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        let product = Self {
            re: self.re.mul_sub(other.re, self.im * other.im),
            im: self.re.mul_add(other.im, self.im * other.re),
        };
        product.rounded(Operation::Product)
    }
}
