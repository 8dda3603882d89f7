//! The program `sbf-repo`; everything in it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sbf_repo::cli::run()
}
