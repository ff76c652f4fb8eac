//! What a computation needs at most, as address space, in a process of its own.
//!
//! The test that measures runs itself with an environment variable; the one that it runs then says what it took.

use std::num::NonZero;
use std::process::Command;
use std::{env, fs};

use fibonacci::{DecimalDoubling, DecimalParts, Estimate, decimal_digits_with, unobserved};

/// Its numbers are in a base that those of half its index need not be in yet, so a resumed computation rewrites them.
const N: u64 = 300_000_000;

const ROLE: &str = "FIBONACCI_TEST_MEMORY_ROLE";
const ONE: NonZero<usize> = NonZero::<usize>::MIN;
const TWO: NonZero<usize> = NonZero::new(2).unwrap();

/// What the allocator may take one time and not the other: freed and not given back.
const WASTE_BYTES: u64 = 16 << 20;

/// What it may take in any case: a stack and an arena of 64 MiB for the second thread, and the waste.
const ALLOWANCE_BYTES: u64 = 96 << 20;

#[test]
fn a_computation_that_is_resumed_needs_no_more_memory_than_one_that_began_and_both_what_was_estimated() {
    if let Ok(role) = env::var(ROLE) {
        return play(&role);
    }
    let estimated = Estimate::for_decimal_digits(N).peak_bytes;
    for threads in ["1", "2"] {
        let [begun, resumed] = ["begun", "resumed"].map(|role| measured(&format!("{role} {threads}")));
        assert!(
            resumed <= begun + WASTE_BYTES,
            "{threads} threads: {begun} bytes when begun, {resumed} when resumed"
        );
        let enough = estimated + ALLOWANCE_BYTES;
        assert!(
            begun.max(resumed) <= enough,
            "{threads} threads: {begun} and {resumed} bytes, not {enough}"
        );
        assert!(
            estimated < begun * 11 / 10,
            "{threads} threads: {begun} bytes, estimated {estimated}"
        );
    }
}

/// What the computation of this role needed beyond what the process had when it started.
fn measured(role: &str) -> u64 {
    let name = "memory::a_computation_that_is_resumed_needs_no_more_memory_than_one_that_began_and_both_what_was_estimated";
    let output = Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(ROLE, role)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let said = text.lines().find_map(|line| line.strip_prefix("needed "));
    said.unwrap_or_else(|| panic!("{role}: {text}")).parse().unwrap()
}

fn play(role: &str) {
    let (role, threads) = role.split_once(' ').unwrap();
    let threads = if threads == "1" { ONE } else { TWO };
    let before = address_space_bytes("VmSize:");
    let digits = if role == "begun" {
        decimal_digits_with(N, threads, &unobserved).unwrap()
    } else {
        let state = DecimalDoubling::from_parts(N, parts(N / 2, threads), threads).unwrap();
        state.finish(&unobserved).unwrap()
    };
    assert_eq!(digits.len() as u64, Estimate::for_decimal_digits(N).digits);
    eprintln!("\nneeded {}", address_space_bytes("VmPeak:") - before);
}

/// The state at k, made of the digits of its numbers, which need half the memory of what it is the state of.
fn parts(k: u64, threads: NonZero<usize>) -> DecimalParts {
    let limbs = |index: u64| {
        let digits = decimal_digits_with(index, threads, &unobserved).unwrap();
        let groups = digits.as_bytes().rchunks(18);
        groups
            .map(|group| str::from_utf8(group).unwrap().parse().unwrap())
            .collect()
    };
    DecimalParts {
        k,
        value: limbs(k),
        next: limbs(k + 1),
    }
}

fn address_space_bytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let kibibytes = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    kibibytes.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
