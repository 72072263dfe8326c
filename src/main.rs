//! The one binary: everything it can do is a command of [`numbering::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    numbering::cli::main()
}
