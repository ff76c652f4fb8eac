//! How far a computed coefficient can be from the exact one.
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
//! Source: C. Percival, Math. Comp. 72 (2003), theorem 5.1, with √5 by R. Brent, C. Percival and P.
//! Zimmermann, Math. Comp. 76 (2007), and the fused product by C.-P. Jeannerod et al., Math. Comp. 86 (2017).

use super::product::Form;

/// Half a unit in the last place of 1.
const EPSILON: f64 = f64::EPSILON / 2.0;

/// √5 and a little.
const MULTIPLICATION: f64 = 2.237;

/// β/ε.
const ROOT: f64 = 1.2;

/// What the roots of the last three levels add to β/ε, each way.
const TAIL: f64 = 18.0;

/// The largest error of a coefficient of `form`, for factors with these squared norms and 2^`levels` points.
pub(super) fn error(form: Form, levels: u32, [f, g]: [f64; 2]) -> f64 {
    let levels = 3.0 * f64::from(levels);
    let additions = levels + 2.0;
    let multiplications = MULTIPLICATION * (levels + 1.0);
    let relative = 1.001 * EPSILON * (additions + multiplications + ROOT * levels + 3.0 * TAIL);
    relative * size(form, [f, g])
}

/// The largest absolute value of a coefficient of `form`.
pub(crate) fn size(form: Form, [f, g]: [f64; 2]) -> f64 {
    let product = (f * g).sqrt();
    let one = match form {
        Form::Even => 2.0 * product + f,
        Form::Odd => 2.0 * product + g,
    };
    // Rounding of this sum itself.
    1.001 * one.max(f + g)
}
