//! A desk whose commands read a configuration file.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use serde_json::Value;
use std::process::Output;

/// A desk with a repository, which the environment names, and this configuration.
pub(crate) fn desk(configuration: &str) -> Desk {
    let desk = Desk::with_repository();
    desk.put("config.toml", configuration.as_bytes());
    desk
}

/// Runs a command with the configuration.
pub(crate) fn run(desk: &Desk, arguments: &[&str]) -> Output {
    desk.run(&[&["--config", "config.toml"], arguments].concat())
}

/// The same, and what it says with `--json`.
#[track_caller]
pub(crate) fn json(desk: &Desk, arguments: &[&str], exit: i32) -> Value {
    let output = run(desk, &[&["--json"], arguments].concat());
    check(&output, exit);
    serde_json::from_slice(&output.stdout).unwrap()
}
