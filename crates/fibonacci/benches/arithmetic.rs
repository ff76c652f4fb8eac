//! Each operation next to the arithmetic library's own, over the sizes that matter.
//!
//! `cargo bench -p fibonacci`; the ratio to compare is that of one run, since machines differ and vary.

use std::hint::black_box;
use std::thread::available_parallelism;

use divan::{Bencher, Divan};
use fibonacci::{Certificate, DecimalCheck, DecimalDoubling, DecimalParts, Natural, unobserved};
use malachite_base::num::arithmetic::traits::Fibonacci;

const SIZES: [u64; 4] = [10_000, 1_000_000, 10_000_000, 100_000_000];
const DECIMAL_SIZES: [u64; 2] = [1_000_000, 10_000_000];
const STATE_SIZES: [u64; 3] = [10_000_000, 100_000_000, 1_000_000_000];

fn main() {
    Divan::from_args().main();
}

#[divan::bench(args = SIZES, max_time = 5)]
fn doubling_ours(n: u64) -> Natural {
    fibonacci::doubling(black_box(n), &unobserved).expect("nobody cancels")
}

#[divan::bench(args = SIZES, max_time = 5)]
fn doubling_malachite(n: u64) -> Natural {
    Natural::fibonacci(black_box(n))
}

#[divan::bench(args = SIZES, max_time = 5)]
fn digits_ours(n: u64) -> String {
    fibonacci::decimal_digits(black_box(n), &unobserved).expect("nobody cancels")
}

#[divan::bench(args = DECIMAL_SIZES, max_time = 5)]
fn decimal_ours(bencher: Bencher, n: u64) {
    let value = Natural::fibonacci(n);
    bencher.bench_local(|| fibonacci::decimal(black_box(&value), &unobserved));
}

#[divan::bench(args = DECIMAL_SIZES, max_time = 5)]
fn decimal_malachite(bencher: Bencher, n: u64) {
    let value = Natural::fibonacci(n);
    bencher.bench_local(|| black_box(&value).to_string());
}

#[divan::bench(args = SIZES)]
fn certificate_for_index(n: u64) -> Certificate {
    Certificate::for_index(black_box(n))
}

#[divan::bench(args = SIZES)]
fn certificate_check(bencher: Bencher, n: u64) {
    let (value, certificate) = (Natural::fibonacci(n), Certificate::for_index(n));
    bencher.bench_local(|| certificate.check(black_box(&value)));
}

#[divan::bench(args = DECIMAL_SIZES)]
fn certificate_check_decimal(bencher: Bencher, n: u64) {
    let (text, certificate) = (Natural::fibonacci(n).to_string(), Certificate::for_index(n));
    bencher.bench_local(|| certificate.check_decimal(black_box(&text)));
}

/// F(10⁸) in pieces of so many bytes, the last one as a whole.
#[divan::bench(args = [1 << 9, 1_000, 1 << 16, 1 << 20, 1 << 25])]
fn decimal_check_in_pieces(bencher: Bencher, piece_bytes: usize) {
    let n = 100_000_000;
    let text = fibonacci::decimal_digits(n, &unobserved).expect("nobody cancels");
    let certificate = Certificate::for_index(n);
    bencher.bench_local(|| {
        let mut check = DecimalCheck::new();
        for piece in black_box(&text).as_bytes().chunks(piece_bytes) {
            check.update(piece);
        }
        check.finish(&certificate)
    });
}

/// The state before the last product.
fn last_state(n: u64) -> DecimalDoubling {
    let mut state = DecimalDoubling::new(n);
    while !state.is_done() {
        state.step(&unobserved).expect("nobody cancels");
    }
    state
}

#[divan::bench(args = STATE_SIZES, sample_count = 1)]
fn steps_to_the_last_state(n: u64) -> DecimalDoubling {
    last_state(black_box(n))
}

#[divan::bench(args = STATE_SIZES, sample_count = 10)]
fn last_state_to_parts(bencher: Bencher, n: u64) {
    let state = last_state(n);
    bencher.bench_local(|| -> DecimalParts { black_box(&state).parts() });
}

#[divan::bench(args = STATE_SIZES, sample_count = 10)]
fn last_state_from_parts(bencher: Bencher, n: u64) {
    let parts = last_state(n).parts();
    let threads = available_parallelism().expect("the system tells how many processors there are");
    bencher
        .with_inputs(|| parts.clone())
        .bench_local_values(|parts| DecimalDoubling::from_parts(n, black_box(parts), threads).map(drop));
}

#[divan::bench(args = [30, 37])]
fn recursive(n: u64) -> Natural {
    fibonacci::recursive(black_box(n), &unobserved).expect("nobody cancels")
}

#[divan::bench(args = [10_000, 100_000])]
fn iterative(n: u64) -> Natural {
    fibonacci::iterative(black_box(n), &unobserved).expect("nobody cancels")
}
