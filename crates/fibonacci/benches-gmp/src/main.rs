//! F(n) and its digits beside GMP's and malachite's own, in the same minutes on the same machine.
//!
//! `measure N...` writes a row of tab-separated numbers for each n and run, in seconds; `table` and `plot` read
//! such rows from stdin and write Markdown and SVG, which depend on nothing else. The measured things take turns in
//! every run, so that whatever else the machine does meets all of them.

mod plot;
mod rows;

use std::hint::black_box;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fibonacci::{Certificate, Natural, decimal_digits, doubling, unobserved};
use malachite_base::num::arithmetic::traits::Fibonacci;
use rug::Integer;

use rows::{Row, Summary};

const RUNS: usize = 3;

/// Short computations are repeated for so long, and the median counts.
const REPEATED: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((command, sizes)) if command == "measure" && !sizes.is_empty() => measure(sizes),
        Some((command, [])) if command == "table" => read_rows().and_then(|rows| write(&rows::table(&rows))),
        Some((command, [])) if command == "plot" => read_rows().and_then(|rows| write(&plot::svg(&rows))),
        _ => Err("usage: fibonacci-gmp measure N... | table < ROWS | plot < ROWS".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("fibonacci-gmp: {message}");
            ExitCode::FAILURE
        }
    }
}

fn measure(sizes: &[String]) -> Result<(), String> {
    write(&format!("{}\n", Row::HEADER))?;
    for size in sizes {
        let n: u32 = size.parse().map_err(|_| format!("{size} is no index"))?;
        for _ in 0..RUNS {
            write(&format!("{}\n", row(n)?))?;
        }
    }
    Ok(())
}

fn row(n: u32) -> Result<Row, String> {
    let index = u64::from(n);
    let gmp = seconds(|| Integer::from(Integer::fibonacci(n)));
    let ours = seconds(|| doubling(index, &unobserved));
    let malachite = seconds(|| Natural::fibonacci(index));
    let gmp_digits = seconds(|| Integer::from(Integer::fibonacci(n)).to_string());
    let our_digits = seconds(|| decimal_digits(index, &unobserved));
    let digits = decimal_digits(index, &unobserved).map_err(|error| error.to_string())?;
    let certificate = seconds(|| Certificate::for_index(index).check_decimal(black_box(&digits)));
    Certificate::for_index(index)
        .check_decimal(&digits)
        .map_err(|error| format!("F({n}) is wrong: {error}"))?;
    Ok(Row {
        n: index,
        seconds: [gmp, ours, malachite, gmp_digits, our_digits, certificate],
    })
}

fn seconds<T>(mut work: impl FnMut() -> T) -> f64 {
    let began = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || began.elapsed() < REPEATED {
        let began = Instant::now();
        drop(black_box(work()));
        times.push(began.elapsed().as_secs_f64());
    }
    rows::median(&mut times)
}

fn read_rows() -> Result<Vec<Summary>, String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| format!("reading rows: {error}"))?;
    rows::summaries(&text)
}

fn write(text: &str) -> Result<(), String> {
    let mut stdout = std::io::stdout();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("writing: {error}"))
}
