//! Evidence as an auditor gets it: with a public key, stock tools, and no key that decrypts.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::scratch::Scratch;
use crate::scratch::put;
use sbf_repo::key::ObjectKey;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

/// A repository with snapshots before and after a collection, and records; the authority's public key is in `auth.pub`.
pub(crate) fn site() -> Scratch {
    let scratch = fresh();
    for (name, time) in [("one", "2026-01-05T02:00:00Z"), ("two", "2026-01-06T02:00:00Z")] {
        put(scratch.source().join(name), name.as_bytes());
        snapshot(&scratch, time);
    }
    scratch.run(&["hold", "latest", "--reason", "review"], 0);
    let first =
        json(&scratch, &["snapshots"])["snapshots"][0]["snapshot"].as_str().unwrap().to_owned();
    scratch.run(&["forget", &first, "--force"], 0);
    scratch.run(&["prune"], 0);
    put(scratch.source().join("third"), b"three");
    snapshot(&scratch, "2026-02-05T02:00:00Z");
    // Statements of the authority of every kind.
    let removed = scratch.path("removed");
    let removed = removed.to_str().unwrap();
    scratch.run(&["key", "add", "--role", "reader", "--new-key-file", removed], 0);
    let slots = json(&scratch, &["key", "list"])["slots"].clone();
    let is_reader = |row: &&Value| row["header"]["role"] == "reader";
    let slot = slots.as_array().unwrap().iter().find(is_reader).unwrap()["slot"].clone();
    scratch.run(&["key", "remove", slot.as_str().unwrap()], 0);
    let line = scratch.run(&["evidence", "public-key"], 0).stdout;
    put(scratch.path("auth.pub"), line);
    scratch
}

/// An empty repository that the program made.
pub(crate) fn fresh() -> Scratch {
    let scratch = Scratch::without_repository();
    scratch.run(&["init"], 0);
    scratch
}

fn snapshot(scratch: &Scratch, time: &str) {
    let source = scratch.source();
    scratch.run(&["snapshot", source.to_str().unwrap(), "--source", "app", "--time", time], 0);
}

fn json(scratch: &Scratch, arguments: &[&str]) -> Value {
    let output = scratch.run(&[arguments, &["--json"]].concat(), 0);
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn export(scratch: &Scratch, name: &str, options: &[&str]) -> PathBuf {
    let target = scratch.path(name);
    scratch.run(&[&["evidence", "export", target.to_str().unwrap()], options].concat(), 0);
    target
}

/// Verifies with the program, in an environment that knows no repository.
pub(crate) fn verify(scratch: &Scratch, bundle: &Path) -> Output {
    let key = scratch.path("auth.pub");
    Command::new(env!("CARGO_BIN_EXE_sbf-repo"))
        .env_clear()
        .args(["manifest", "verify", "--bundle"])
        .arg(bundle)
        .arg("--public-key")
        .arg(key)
        .output()
        .unwrap()
}

/// Verifies with the bundle's script, where there are only the tools that it names.
pub(crate) fn verify_by_script(scratch: &Scratch, bundle: &Path) -> Output {
    let tools = scratch.path("tools");
    if !tools.exists() {
        fs::create_dir(&tools).unwrap();
        for tool in TOOLS {
            let found =
                Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
            let found = String::from_utf8(found.stdout).unwrap();
            assert!(found.starts_with('/'), "there is no `{tool}`");
            std::os::unix::fs::symlink(found.trim(), tools.join(tool)).unwrap();
        }
    }
    Command::new(tools.join("sh"))
        .env_clear()
        .env("PATH", &tools)
        .arg(bundle.join("verify.sh"))
        .arg(scratch.path("auth.pub"))
        .output()
        .unwrap()
}

/// Asserts that both ways of verifying say yes, or that both say no.
#[track_caller]
pub(crate) fn expect(scratch: &Scratch, bundle: &Path, verifies: bool, case: &str) {
    let by_program = verify(scratch, bundle);
    let by_script = verify_by_script(scratch, bundle);
    let words = |output: &Output| {
        let (out, err) = (&output.stdout, &output.stderr);
        format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
    };
    let code = if verifies { 0 } else { 5 };
    assert_eq!(by_program.status.code(), Some(code), "{case}: {}", words(&by_program));
    let code = i32::from(!verifies);
    assert_eq!(by_script.status.code(), Some(code), "{case}: {}", words(&by_script));
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// Makes the sums again over changed files and signs them with a key that nobody certified, as somebody would who wants to
/// pass something off.
fn sum_again(scratch: &Scratch, bundle: &Path) {
    let script = "find . -type f ! -name SHA256SUMS ! -name SHA256SUMS.sig | sed 's|^./||' | sort | xargs sha256sum > SHA256SUMS";
    assert!(
        Command::new("sh").args(["-c", script]).current_dir(bundle).status().unwrap().success()
    );
    sign(scratch, &bundle.join("SHA256SUMS"), "sbf-repo-evidence");
}

/// Signs a file with a key made just now.
fn sign(scratch: &Scratch, file: &Path, namespace: &str) {
    let key = scratch.path("self-made");
    if !key.exists() {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status();
        assert!(made.unwrap().success());
    }
    let mut signature = file.as_os_str().to_owned();
    signature.push(".sig");
    fs::remove_file(&signature).unwrap();
    let signed = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
        .arg(&key)
        .arg(file)
        .output();
    assert!(signed.unwrap().status.success());
}

#[test]
fn a_bundle_verifies_with_stock_tools_and_the_public_key_alone() {
    let scratch = site();
    for (name, options) in [("plain", &["--include-paths"][..]), ("digests", &[])] {
        let bundle = export(&scratch, name, options);
        expect(&scratch, &bundle, true, name);
        let report = Command::new(env!("CARGO_BIN_EXE_sbf-repo"))
            .args(["evidence", "verify", "--json", "--public-key"])
            .args([scratch.path("auth.pub"), bundle.clone()])
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&report.stdout).unwrap();
        assert_eq!(report["manifests"], 2, "{report}");
        // A hold, and what the prune was about to delete and had deleted; a forget that was folded is gone.
        assert_eq!(report["records"], 3, "{report}");
        assert_eq!(report["inventories"], 1, "{report}");
        let bases = fs::read_dir(bundle.join("bases")).unwrap().count();
        assert_eq!(bases, 2, "a base and its signature");
        let rows = fs::read_to_string(bundle.join("population.csv")).unwrap();
        assert_eq!(rows.lines().count(), 3, "{rows}");
        let source = scratch.source();
        let path = source.to_str().unwrap();
        let names_path =
            |file: &PathBuf| String::from_utf8_lossy(&fs::read(file).unwrap()).contains(path);
        assert_eq!(files_below(&bundle).iter().any(names_path), !options.is_empty());
    }
}

#[test]
fn every_change_to_a_bundle_is_found() {
    let scratch = site();
    let bundle = export(&scratch, "bundle", &["--include-paths"]);
    for file in files_below(&bundle) {
        let before = fs::read(&file).unwrap();
        let name = file.strip_prefix(&bundle).unwrap().display().to_string();
        // The script does not look at itself before it runs.
        let is_script = name == "verify.sh";
        let mut after = before.clone();
        let middle = after.len() / 2;
        after[middle] ^= 1;
        put(&file, &after);
        if is_script {
            assert_eq!(verify(&scratch, &bundle).status.code(), Some(5), "{name} flipped");
        } else {
            expect(&scratch, &bundle, false, &format!("{name} flipped"));
        }
        if name.starts_with("SHA256SUMS") {
            put(&file, &before);
            continue;
        }
        // Whoever changes it makes the sums again.
        let sums = ["SHA256SUMS", "SHA256SUMS.sig"].map(|name| bundle.join(name));
        let kept = sums.clone().map(|file| fs::read(file).unwrap());
        sum_again(&scratch, &bundle);
        assert_eq!(
            verify(&scratch, &bundle).status.code(),
            Some(5),
            "{name} flipped, summed again"
        );
        for (file, bytes) in sums.iter().zip(&kept) {
            put(file, bytes);
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(verify(&scratch, &bundle).status.code(), Some(5), "{name} removed");
        put(&file, &before);
    }
    expect(&scratch, &bundle, true, "put back");
    put(bundle.join("manifests/more.json"), b"{}");
    expect(&scratch, &bundle, false, "a file more");
}

#[test]
fn self_made_keys_wrong_purposes_and_swapped_statements_are_found() {
    let scratch = site();
    let bundle = export(&scratch, "bundle", &["--include-paths"]);
    let manifests = files_below(&bundle.join("manifests"));
    let statement = &manifests[0];
    sign(&scratch, statement, "sbf-repo-manifest");
    expect(&scratch, &bundle, false, "a self-made key");
    let other = export(&scratch, "other", &["--include-paths"]);
    let [first, second] = [0, 2].map(|at| files_below(&other.join("manifests"))[at].clone());
    let signature = |file: &Path| PathBuf::from(format!("{}.sig", file.display()));
    fs::copy(signature(&first), signature(&second)).unwrap();
    expect(&scratch, &other, false, "the signature of another statement");
    let named = export(&scratch, "named", &["--include-paths"]);
    let hold = files_below(&named.join("records"))[0].clone();
    let statement = files_below(&named.join("manifests"))[0].clone();
    fs::copy(&hold, &statement).unwrap();
    fs::copy(signature(&hold), signature(&statement)).unwrap();
    expect(&scratch, &named, false, "a record in the place of a manifest");
    let wrong = fresh();
    put(scratch.path("auth.pub"), wrong.run(&["evidence", "public-key"], 0).stdout);
    let good = export(&scratch, "good", &[]);
    expect(&scratch, &good, false, "the authority of another repository");
}

#[test]
fn one_manifest_verifies_with_ssh_keygen_and_not_for_another_purpose() {
    let scratch = site();
    let target = scratch.path("one");
    scratch.run(
        &["manifest", "export", "latest", "--include-paths", "--to", target.to_str().unwrap()],
        0,
    );
    expect(&scratch, &target, true, "one manifest");
    let statement = files_below(&target.join("manifests"))[0].clone();
    let shown = scratch.run(&["manifest", "show", "latest", "--raw"], 0).stdout;
    assert_eq!(fs::read(&statement).unwrap(), shown);
    let stated: Value = serde_json::from_slice(&shown).unwrap();
    let client = stated["predicate"]["client"].as_str().unwrap().to_owned();
    let keygen = |namespace: &str, time: &str| {
        let script = r#"ssh-keygen -Y verify -f allowed_signers -I "$1" -n "$2" -O verify-time="$3" -s "$4.sig" <"$4""#;
        let arguments = ["-c", script, "sh", &client, namespace, time, statement.to_str().unwrap()];
        Command::new("sh").args(arguments).current_dir(&target).output().unwrap().status.success()
    };
    let late = "20990101000000Z";
    assert!(keygen("sbf-repo-manifest", late));
    assert!(!keygen("sbf-repo-outcome", late));
    assert!(keygen("sbf-repo-manifest", "20010101000000Z"), "a clock that is behind costs nothing");
    scratch.run(&["manifest", "export", "latest", "--to", target.to_str().unwrap()], 14);
    assert!(
        String::from_utf8(scratch.run(&["manifest", "show", "latest"], 0).stdout)
            .unwrap()
            .contains("Merkle root")
    );
    assert_eq!(json(&scratch, &["manifest", "verify"])["verified"], 2);
}

#[test]
fn another_client_exports_after_a_collection_and_a_period_leaves_the_rest_out() {
    let scratch = site();
    let auditor = scratch.path("auditor");
    let add = ["key", "add", "--role", "auditor", "--new-key-file", auditor.to_str().unwrap()];
    scratch.run(&add, 0);
    let target = scratch.path("by-auditor");
    let mut command = scratch.command(&["evidence", "export", target.to_str().unwrap()]);
    let output = command.env("SBF_REPO_KEY_FILE", &auditor).output().unwrap();
    crate::scratch::expect_code(&output, 0);
    expect(&scratch, &target, true, "by an auditor");
    let january = export(&scratch, "january", &["--from", "2026-01-01", "--to", "2026-01-31"]);
    expect(&scratch, &january, true, "january");
    let statements = fs::read_dir(january.join("manifests")).unwrap().count();
    assert_eq!(statements, 2, "a statement and its signature");
    let page = fs::read_to_string(january.join("report.html")).unwrap();
    assert!(page.contains("2026-01-01 to 2026-01-31"), "{page}");
    scratch.run(
        &["evidence", "export", scratch.path("x").to_str().unwrap(), "--from", "yesterday"],
        2,
    );
    let (target, ends) = (scratch.path("none"), ["--from", "2026-02-01", "--to", "2026-01-31"]);
    let output = scratch
        .run(&[&["evidence", "export", target.to_str().unwrap()], ends.as_slice()].concat(), 2);
    assert!(String::from_utf8(output.stderr).unwrap().contains("begins at 2026-02-01"));
    assert!(!target.exists());
}

/// Removes the last record of the log of the client that made the repository, and exports on a host that remembers nothing.
fn export_cut(scratch: &Scratch, first_record: &ObjectKey, name: &str) -> PathBuf {
    let folder = first_record.as_str().rsplit_once('/').unwrap().0.to_owned();
    let last = scratch.place.keys(&folder).into_iter().max().unwrap();
    scratch.place.remove(last.as_str());
    let target = scratch.path(name);
    let mut command = scratch.command(&["evidence", "export", target.to_str().unwrap()]);
    let output = command.env("SBF_REPO_STATE_DIR", scratch.path("no-memory")).output().unwrap();
    crate::scratch::expect_code(&output, 0);
    target
}

#[test]
fn a_log_that_a_record_proves_to_have_been_longer_does_not_verify() {
    let scratch = site();
    let first = scratch.place.keys("audit")[0].clone();
    scratch.run(&["audit", "verify"], 0);
    let whole = export(&scratch, "whole", &[]);
    expect(&scratch, &whole, true, "with the heads of the logs");
    // The record of the export itself is the last one, and another than that of the first export.
    scratch.run(&["audit", "verify"], 0);
    let cut = export_cut(&scratch, &first, "cut");
    expect(&scratch, &cut, false, "another record in the place of one that an admin names");
    let said = String::from_utf8(verify(&scratch, &cut).stdout).unwrap();
    assert!(said.contains("the log was cut off or replaced"), "{said}");
}

#[test]
fn what_an_auditor_says_of_a_log_is_told_and_spoils_no_bundle() {
    let scratch = site();
    let first = scratch.place.keys("audit")[0].clone();
    let auditor = scratch.path("auditor");
    let add = ["key", "add", "--role", "auditor", "--new-key-file", auditor.to_str().unwrap()];
    scratch.run(&add, 0);
    let mut command = scratch.command(&["audit", "verify"]);
    command.env("SBF_REPO_KEY_FILE", &auditor).env("SBF_REPO_STATE_DIR", scratch.path("theirs"));
    crate::scratch::expect_code(&command.output().unwrap(), 0);
    let cut = export_cut(&scratch, &first, "cut");
    expect(&scratch, &cut, true, "a claim of an auditor");
    let by_script = String::from_utf8(verify_by_script(&scratch, &cut).stdout).unwrap();
    assert!(by_script.contains("NOTE records/records-heads-"), "{by_script}");
    let by_program = String::from_utf8(verify(&scratch, &cut).stderr).unwrap();
    assert!(by_program.contains("which is not in the bundle"), "{by_program}");
}

#[test]
fn anybody_with_the_public_key_hashes_every_pack_again() {
    let scratch = site();
    let key = scratch.path("auth.pub");
    let scrub = |code: i32| -> Value {
        let mut command =
            scratch.command(&["check", "--json", "--public-key", key.to_str().unwrap()]);
        let output = command.env_remove("SBF_REPO_KEY_FILE").output().unwrap();
        crate::scratch::expect_code(&output, code);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let clean = scrub(0);
    assert!(clean["packs"].as_u64().unwrap() > 0);
    assert_eq!(clean["packs"], clean["intact"]);
    // Those of the snapshot since the collection.
    assert_eq!(clean["unlisted"], 2);
    assert_eq!(clean["unlisted_intact"], 2);
    let is_newer = |key: &&ObjectKey| !is_listed(&scratch, key);
    let newer = scratch.place.keys("packs").iter().find(is_newer).unwrap().clone();
    scratch.place.alter(&newer, |bytes| bytes[20] ^= 1);
    let altered = scrub(5);
    assert_eq!(altered["findings"][0]["object"], newer.as_str(), "{altered}");
    assert_eq!(altered["unlisted_intact"], 1);
    scratch.place.alter(&newer, |bytes| bytes[20] ^= 1);
    let pack =
        scratch.place.keys("packs").into_iter().find(|key| is_listed(&scratch, key)).unwrap();
    scratch.place.alter(&pack, |bytes| bytes[20] ^= 1);
    assert_eq!(scrub(5)["findings"][0]["code"], "pack.differs");
    scratch.place.alter(&pack, |bytes| bytes.truncate(100));
    let cut = scrub(5);
    assert!(cut["findings"][0]["effect"].as_str().unwrap().contains("bytes instead of"), "{cut}");
    scratch.place.remove(pack.as_str());
    let gone = scrub(5);
    assert!(gone["findings"][0]["effect"].as_str().unwrap().contains("not stored"), "{gone}");
    let inventory = scratch.place.keys("inventory")[0].clone();
    scratch.place.alter(&inventory, |bytes| bytes[120] ^= 1);
    assert_eq!(scrub(7)["findings"][0]["code"], "evidence.unsound");
    let fresh = fresh();
    let mut command = fresh.command(&["check", "--public-key", key.to_str().unwrap()]);
    crate::scratch::expect_code(&command.output().unwrap(), 5);
    put(fresh.path("own"), fresh.run(&["evidence", "public-key"], 0).stdout);
    fresh.run(&["check", "--public-key", fresh.path("own").to_str().unwrap()], 7);
}

/// Whether the inventory lists a pack.
fn is_listed(scratch: &Scratch, key: &ObjectKey) -> bool {
    let inventory =
        scratch.place.store().read(&scratch.place.keys("inventory")[0], 1 << 20).unwrap();
    String::from_utf8_lossy(&inventory).contains(key.as_str())
}

/// What `VERIFY.md` asks for: the four it names, and what POSIX has everywhere.
const TOOLS: [&str; 19] = [
    "sh",
    "jq",
    "sha256sum",
    "ssh-keygen",
    "od",
    "tr",
    "cut",
    "sed",
    "grep",
    "sort",
    "cmp",
    "find",
    "mktemp",
    "rm",
    "basename",
    "dirname",
    "cp",
    "head",
    "cat",
];
