//! What a computation needs at most, as address space, in a process of its own.
//!
//! The test that measures runs itself with an environment variable; the one that it runs then says what it took.

use std::io::{self, BufWriter, Read, Write};
use std::num::NonZero;
use std::process::{Command, Stdio};
use std::{env, fs};

use fibonacci::{DecimalDoubling, DecimalParts, Estimate, decimal_digits_with, unobserved};

/// A state is read in the widest base, which is too wide here: a resumed computation has to rewrite it.
const N: u64 = 460_000_000;

const ROLE: &str = "FIBONACCI_TEST_MEMORY_ROLE";
const ONE: NonZero<usize> = NonZero::<usize>::MIN;
const TWO: NonZero<usize> = NonZero::new(2).unwrap();

/// Memory that the allocator may take one time and not the other: freed and not given back.
const WASTE_BYTES: u64 = 8 << 20;

/// Memory that it may take in any case: a stack and an arena of 64 MiB for the second thread, and the waste.
const ALLOWANCE_BYTES: u64 = 96 << 20;

#[test]
fn a_resumed_computation_needs_the_estimated_memory() {
    if let Ok(role) = env::var(ROLE) {
        return play(&role);
    }
    let estimated = Estimate::for_decimal_digits(N).peak_bytes;
    let state = last_state();
    for threads in ["1", "2"] {
        let [begun, resumed] =
            ["begun", "resumed"].map(|role| measured(&format!("{role} {threads}"), &state));
        assert!(
            resumed <= begun + WASTE_BYTES,
            "{threads} threads: {begun} bytes when begun, {resumed} when resumed"
        );
        let enough = estimated + ALLOWANCE_BYTES;
        assert!(
            begun.max(resumed) <= enough,
            "{threads} threads: {begun} and {resumed} bytes, not {enough}"
        );
        // The estimate is for two threads.
        assert!(
            threads == "1" || estimated < begun.max(resumed),
            "{begun} and {resumed} bytes, estimated {estimated}"
        );
    }
}

/// The state before the last product.
fn last_state() -> DecimalParts {
    let mut state = DecimalDoubling::new(N);
    while !state.is_done() {
        state.step(&unobserved).unwrap();
    }
    state.parts()
}

/// Memory that the computation of this role needed beyond what the process had when it started; it is told the state.
fn measured(role: &str, state: &DecimalParts) -> u64 {
    let name = "memory::a_resumed_computation_needs_the_estimated_memory";
    let mut child = Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(ROLE, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut orders = BufWriter::new(child.stdin.take().unwrap());
    let lengths = [&state.value, &state.next].map(|limbs| limbs.len() as u64);
    let numbers = lengths.iter().chain(&state.value).chain(&state.next);
    // One that begins does not read on.
    let _ = numbers
        .map(|number| orders.write_all(&number.to_le_bytes()))
        .find(Result::is_err);
    drop(orders);
    let output = child.wait_with_output().unwrap();
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
        let state = DecimalDoubling::from_parts(N, told_state(), threads).unwrap();
        state.finish(&unobserved).unwrap()
    };
    assert_eq!(digits.len() as u64, Estimate::for_decimal_digits(N).digits);
    eprintln!("\nneeded {}", address_space_bytes("VmPeak:") - before);
}

fn told_state() -> DecimalParts {
    let mut input = io::stdin().lock();
    let mut number = || {
        let mut bytes = [0; 8];
        input.read_exact(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    };
    let lengths = [number(), number()];
    let [value, next] = lengths.map(|length| (0..length).map(|_| number()).collect());
    DecimalParts {
        k: N / 2,
        value,
        next,
    }
}

fn address_space_bytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let kibibytes = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    kibibytes.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
