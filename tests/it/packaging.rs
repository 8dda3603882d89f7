//! What is released beside the program: the package is built, installed and used, and the files for
//! systemd and Kubernetes treat every exit code.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::check;
use crate::cli::out;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Codes after which a run is tried again, in a pod and by systemd.
const RETRIED_IN_PODS: &[u8] = &[1, 4, 13, 129, 130, 141, 143];
const RETRIED_BY_SYSTEMD: &[u8] = &[13, 129, 130, 143];

/// Every code but that of success, as the published schema lists them.
fn codes() -> BTreeSet<u8> {
    let text = fs::read_to_string("docs/schema/common.schema.json").unwrap();
    let common: serde_json::Value = serde_json::from_str(&text).unwrap();
    let listed = common["$defs"]["exit_code"]["enum"].as_array().unwrap().iter();
    let listed = listed.map(|code| u8::try_from(code.as_u64().unwrap()).unwrap());
    listed.filter(|code| *code != 0).collect()
}

fn numbers(text: &str) -> BTreeSet<u8> {
    text.split([' ', ',', '[', ']']).filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn jobs_in_kubernetes_treat_every_exit_code() {
    let text = fs::read_to_string("docs/kubernetes.yaml").unwrap();
    let retried: BTreeSet<u8> = RETRIED_IN_PODS.iter().copied().collect();
    let fatal: BTreeSet<u8> = codes().difference(&retried).copied().collect();
    let jobs: Vec<&str> = text.split("\n---\n").filter(|part| part.contains("CronJob")).collect();
    assert_eq!(jobs.len(), 3);
    for job in jobs {
        let rules = job.split("- action: ").skip(1);
        let of = |action: &str| {
            let rule = rules.clone().find(|rule| rule.starts_with(action)).unwrap();
            numbers(rule.lines().find_map(|line| line.trim().strip_prefix("values:")).unwrap())
        };
        assert_eq!((of("FailJob"), of("Count")), (fatal.clone(), retried.clone()), "{job}");
    }
    let told = text.lines().find_map(|line| line.strip_prefix("#   failed at once"));
    let told = told.unwrap().split(':').next().unwrap();
    assert_eq!(numbers(told), fatal, "the words at the top of docs/kubernetes.yaml");
}

#[test]
fn the_unit_for_systemd_treats_every_exit_code() {
    let text = fs::read_to_string("tools/packaging/sbf-repo@.service").unwrap();
    let never = text.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus="));
    let retried: BTreeSet<u8> = RETRIED_BY_SYSTEMD.iter().copied().collect();
    assert_eq!(numbers(never.unwrap()), codes().difference(&retried).copied().collect());
}

#[test]
#[expect(clippy::print_stdout, reason = "a claim that this machine cannot show")]
fn the_package_can_be_installed_and_used() {
    if !Path::new("/usr/bin/dpkg-deb").exists() {
        println!("skip: no dpkg-deb");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut package = Command::new("tools/package");
    package.args(["static", "deb", "container", "check"]).env("CARGO_TARGET_DIR", folder.path());
    package.env("SBF_REPO_BINARY", env!("CARGO_BIN_EXE_sbf-repo"));
    package.env("SBF_REPO_COMPRESSION", "none");
    // A copy of the source without its history is packed, too.
    package.env("SOURCE_DATE_EPOCH", "1790000000");
    let output = package.output().unwrap();
    check(&output, 0);
    assert!(out(&output).contains("installed, used and removed"), "{}", out(&output));
    let mut files = Command::new("dpkg-deb");
    let made = folder.path().join("package");
    let made = fs::read_dir(made).unwrap().map(|entry| entry.unwrap().path());
    let deb = made.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    let listed = out(&files.arg("--contents").arg(deb.unwrap()).output().unwrap());
    for file in [
        "./usr/bin/sbf-repo",
        "./usr/share/man/man1/sbf-repo.1.gz",
        "./usr/share/man/man1/sbf-repo-key-add.1.gz",
        "./usr/share/bash-completion/completions/sbf-repo",
        "./usr/share/zsh/vendor-completions/_sbf-repo",
        "./usr/share/fish/vendor_completions.d/sbf-repo.fish",
        "./usr/lib/systemd/system/sbf-repo@.service",
        "./usr/lib/systemd/system/sbf-repo@.timer",
        "./usr/share/doc/sbf-repo/examples/config.toml",
        "./usr/share/doc/sbf-repo/docs/schema/snapshot.schema.json",
    ] {
        assert!(listed.lines().any(|line| line.ends_with(file)), "no {file} in\n{listed}");
    }
    let wrong = listed.lines().find(|line| !line.contains(" root/root "));
    assert!(wrong.is_none(), "{wrong:?} does not belong to root");
}
