//! The `abaci` program: everything it does is in the library.

use std::process::ExitCode;

use abaci::Environment;

fn main() -> ExitCode {
    abaci::run(std::env::args_os(), &Environment::of_process())
}
