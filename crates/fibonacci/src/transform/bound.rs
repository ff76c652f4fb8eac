//! The greatest distance of a computed coefficient from the exact one.
//!
//! Let ε = 2^−53. A complex addition has a relative error below ε, a multiplication below √5·ε (below 2·ε
//! where it is fused), and a root of the table is off by β = 1.2·ε. A coefficient of a product goes through L
//! levels three times, forth with each factor and back, and in each through an addition, a root and a
//! multiplication. So with the Euclidean norms ‖f‖ and ‖g‖ of the factors it is off by less than
//!
//! ‖f‖·‖g‖·((1 + ε)^(3L + 2) · (1 + √5·ε)^(3L + 1) · (1 + β)^(3L) − 1).
//!
//! Forth, a level is √2 times a unitary map, so the relative errors of its operations bound that of the norm.
//! By the Cauchy-Schwarz inequality the absolute values of the products at the points add up to N·‖f‖·‖g‖ at
//! most; and back, a coefficient is the mean of products times roots, each of them with the errors on its way.
//! Packing two integers into a complex number changes no norm. The two further additions are those that form
//! f·(2g − f), whose terms are bounded by ‖f‖·(2·‖g‖ + ‖f‖); the other forms have ‖g‖·(2·‖f‖ + ‖g‖) and
//! ‖f‖² + ‖g‖². The last three levels compute their roots as powers and multiples of one from the table, with
//! errors below 12·ε, 5·ε and 5·ε: together less than 18·ε more than 3·β, each way.
//!
//! All exponents times ε are below 10^−13, where (1 + ε)^m is below 1 + 1.001·m·ε.
//!
//! Rounding errors have all directions and mostly cancel: results are off by a fiftieth of the bound at most, and
//! comparing them would not show one that is too small. So the tests take it apart. What one operation and one
//! root err by is measured: more than three quarters of what is assumed of a sum and a product, and half of it of
//! a root. Then all of them err upwards, by 2^32 times what is assumed. The square of z^(N−1), which goes through
//! every operation, is off by more than 0.9 of 2^32 bounds then, and none of the other inputs by more than all of
//! it. What is left is room in the last three levels. A bound four times too small or too large fails both ways.
//!
//! Source: C. Percival, Math. Comp. 72 (2003), theorem 5.1, with √5 by R. Brent, C. Percival and P.
//! Zimmermann, Math. Comp. 76 (2007), and the fused product by C.-P. Jeannerod et al., Math. Comp. 86 (2017).

use super::product::QuadraticForm;

/// Half a unit in the last place of 1.
pub(super) const EPSILON: f64 = f64::EPSILON / 2.0;

/// √5 and a little.
pub(super) const MULTIPLICATION: f64 = 2.237;

/// β/ε.
pub(super) const ROOT: f64 = 1.2;

/// The amount that the roots of the last three levels add to β/ε, each way.
const TAIL: f64 = 18.0;

/// The largest error of a coefficient of `form`, for factors with these squared norms and 2^`levels` points.
pub(super) fn error(form: QuadraticForm, levels: u32, [f, g]: [f64; 2]) -> f64 {
    let levels = 3.0 * f64::from(levels);
    let additions = levels + 2.0;
    let multiplications = MULTIPLICATION * (levels + 1.0);
    let relative = 1.001 * EPSILON * (additions + multiplications + ROOT * levels + 3.0 * TAIL);
    relative * size(form, [f, g])
}

/// The largest absolute value of a coefficient of `form`.
pub(crate) fn size(form: QuadraticForm, [f, g]: [f64; 2]) -> f64 {
    let product = (f * g).sqrt();
    let one = match form {
        QuadraticForm::Even => 2.0 * product + f,
        QuadraticForm::Odd => 2.0 * product + g,
    };
    // Rounding of this sum itself.
    1.001 * one.max(f + g)
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "integers of at most 106 bits, and errors of which the first digits count"
)]
mod tests {
    use fearless_simd::dispatch;

    use super::*;
    use crate::instructions::{Instructions, instructions, level};
    use crate::progress::unobserved;
    use crate::task::{Ledger, Task};
    use crate::transform::block::{Block, LANES, Lanes, Root};
    use crate::transform::rounding::{LARGER, transform_with_errors};
    use crate::transform::{Vector, Wanted};

    /// The largest error of z^(N−1) times itself, and its bound, when everything errs upwards.
    ///
    /// No input goes through more operations. The signs are those for which the terms of the form add up.
    fn upward_error(form: QuadraticForm, wanted: Wanted, blocks: usize) -> (f64, f64) {
        let ledger = Ledger::new(0, 1);
        let task = Task::new(&ledger, &unobserved, 1);
        let points = blocks * LANES;
        let monomial = |coefficient: i16| {
            let mut integers = vec![0; 2 * points];
            integers[points - 1] = coefficient;
            Vector::new(&integers, blocks, Vec::new(), &task).unwrap()
        };
        let sign = if form == QuadraticForm::Even { -1 } else { 1 };
        let (mut f, mut g) = (monomial(5_000), monomial(5_000 * sign));
        let bound = LARGER * error(form, points.ilog2(), [f.norm, g.norm]);
        let factors = [&mut f.blocks, &mut g.blocks];
        transform_with_errors(LARGER, (form, wanted), factors, &task).unwrap();
        let error = match form {
            QuadraticForm::Even => largest_error(&f.blocks, -75e6),
            QuadraticForm::Odd => largest_error(&g.blocks, 75e6),
        };
        (error, bound)
    }

    /// Compares with `exact` times the square of z^(N−1), which is i·z^(N−2).
    fn largest_error(blocks: &[Block], exact: f64) -> f64 {
        let points = blocks.len() * LANES;
        let re = blocks.iter().flat_map(|block| block.re);
        let im = blocks.iter().flat_map(|block| block.im);
        let wrong = re.chain(im).enumerate().map(|(place, value)| {
            let expected = if place == 2 * points - 2 { exact } else { 0.0 };
            (value / points as f64 - expected).abs()
        });
        wrong.fold(0.0, f64::max)
    }

    /// From 0.911 to 0.945 of it, so the theorem counts the operations of this code, and hardly one too many.
    #[test]
    fn the_bound_is_reached_when_every_operation_errs_upwards() {
        for blocks in [32, 64, 512, 1_024, 8_192] {
            for (form, wanted) in [
                (QuadraticForm::Even, Wanted::Both),
                (QuadraticForm::Even, Wanted::First),
                (QuadraticForm::Odd, Wanted::Both),
            ] {
                let (error, bound) = upward_error(form, wanted, blocks);
                assert!(
                    error < bound && error > 0.9 * bound,
                    "{form:?}, {wanted:?}, {blocks} blocks: {error:e} of {bound:e}"
                );
            }
        }
    }

    /// Pairs of numbers with components of 53 random bits, below 1.
    fn random_pairs() -> impl Iterator<Item = (Root, Root)> {
        let mut state = 1u64;
        let mut component = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 * EPSILON
        };
        let mut number = move || Root {
            re: component(),
            im: component(),
        };
        std::iter::repeat_with(move || (number(), number())).take(200_000)
    }

    /// Sum, product, and product with the conjugate, as the transform forms them.
    fn operations(a: Root, b: Root) -> [Root; 3] {
        let mut blocks = [Block::default(); 3];
        dispatch!(level(), simd => {
            let (a, b) = (Lanes::splat(simd, a), Lanes::splat(simd, b));
            (a + b).store(&mut blocks[0]);
            (a * b).store(&mut blocks[1]);
            a.mul_conjugate(b).store(&mut blocks[2]);
        });
        blocks.map(|block| Root {
            re: block.re[0],
            im: block.im[0],
        })
    }

    /// Returns how many ε a computed number is off, relative to the exact one, whose unit is 2^−106.
    fn error_in_epsilons(computed: Root, exact: [i128; 2]) -> f64 {
        let units = [computed.re, computed.im].map(|part| (part / EPSILON / EPSILON) as i128);
        let wrong = [units[0] - exact[0], units[1] - exact[1]];
        let [length, wrong] = [exact, wrong].map(|[re, im]| (re as f64).hypot(im as f64));
        wrong / length / EPSILON
    }

    /// 0.998 of it for sums; for products 0.81, or 0.96 where they are not fused.
    #[test]
    fn an_operation_errs_by_what_the_bound_takes_and_no_more() {
        let mut largest = [0f64; 3];
        for (a, b) in random_pairs() {
            let [p, q, r, s] = [a.re, a.im, b.re, b.im].map(|part| (part / EPSILON) as i128);
            let exact = [
                [(p + r) << 53, (q + s) << 53],
                [p * r - q * s, p * s + q * r],
                [p * r + q * s, q * r - p * s],
            ];
            for ((largest, computed), exact) in largest.iter_mut().zip(operations(a, b)).zip(exact) {
                *largest = largest.max(error_in_epsilons(computed, exact));
            }
        }
        for (largest, bound) in largest.into_iter().zip([1.0, MULTIPLICATION, MULTIPLICATION]) {
            assert!(largest <= bound && largest > 0.75 * bound, "{largest} of {bound}");
        }
    }

    /// So the instructions that are said to be used are those that the transform uses.
    #[test]
    fn products_are_fused_where_the_instructions_can() {
        let is_fused = matches!(
            instructions(),
            Instructions::Avx512 | Instructions::Avx2 | Instructions::Neon
        );
        for (a, b) in random_pairs().take(1_000) {
            let expected = if is_fused {
                a.re.mul_add(b.re, -(a.im * b.im))
            } else {
                a.re * b.re - a.im * b.im
            };
            let [_, product, _] = operations(a, b);
            assert_eq!(
                product.re.to_bits(),
                expected.to_bits(),
                "{} product of {a:?} and {b:?}",
                instructions()
            );
        }
    }
}
