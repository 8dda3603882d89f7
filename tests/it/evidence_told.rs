//! What verifiers of a bundle tell of it: who exported it, what is not in it, and whether its table is right.

use crate::evidence::expect;
use crate::evidence::export;
use crate::evidence::fresh;
use crate::evidence::site;
use crate::evidence::verify;
use crate::evidence::verify_by_script;
use crate::scratch::Scratch;
use crate::scratch::put;
use std::fs;
use std::path::Path;

/// What both verifiers say.
fn said(scratch: &Scratch, bundle: &Path) -> [String; 2] {
    [verify(scratch, bundle), verify_by_script(scratch, bundle)].map(|output| {
        let (out, err) = (&output.stdout, &output.stderr);
        format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
    })
}

/// Asserts that both verifiers say `words`.
#[track_caller]
fn expect_said(scratch: &Scratch, bundle: &Path, words: &str) {
    for said in said(scratch, bundle) {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
}

#[test]
fn the_table_of_snapshots_is_compared_with_the_manifests_whatever_the_sums_say() {
    let scratch = fresh();
    put(scratch.source().join("one"), b"one");
    let source = scratch.source();
    for name in ["app", "a,b \"c\"", "=cell"] {
        scratch.run(&["snapshot", source.to_str().unwrap(), "--source", name], 0);
    }
    put(scratch.path("auth.pub"), scratch.run(&["evidence", "public-key"], 0).stdout);
    let bundle = export(&scratch, "bundle", &[]);
    expect(&scratch, &bundle, true, "names with commas");
    let table = bundle.join("population.csv");
    let whole = fs::read_to_string(&table).unwrap();
    let rows: Vec<&str> = whole.lines().collect();
    let last = rows[3].to_owned();
    let cases = [
        ("a row less", whole.replace(&format!("{last}\n"), "")),
        ("a row more", format!("{whole}{last}\n")),
        ("another count", whole.replace(",false,", ",true,")),
        ("another state", whole.replace(",live,", ",never,")),
        ("another header", whole.replacen("files", "bytes", 1)),
    ];
    for (case, changed) in cases {
        assert_ne!(changed, whole, "{case}");
        put(&table, changed);
        expect_said(&scratch, &bundle, "the manifests say otherwise");
    }
    put(&table, whole);
    expect(&scratch, &bundle, true, "put back");
}

#[test]
fn only_the_exporter_that_a_bundle_names_signs_it_and_is_told() {
    let scratch = site();
    let auditor = scratch.path("auditor");
    let add = ["key", "add", "--role", "auditor", "--new-key-file", auditor.to_str().unwrap()];
    scratch.run(&add, 0);
    let target = scratch.path("theirs");
    let mut command = scratch.command(&["evidence", "export", target.to_str().unwrap()]);
    let output = command.env("SBF_REPO_KEY_FILE", &auditor).output().unwrap();
    crate::scratch::expect_code(&output, 0);
    expect_said(&scratch, &target, ", auditor, key SHA256:");
    let [by_program, by_script] = said(&scratch, &target);
    let line = by_program.lines().find(|line| line.starts_with("exported by client ")).unwrap();
    assert!(by_script.lines().any(|found| found == line), "{line} is not in: {by_script}");
    // The signature is one of a client, but not of the one that is named.
    let ours = export(&scratch, "ours", &[]);
    expect_said(&scratch, &ours, ", admin, key SHA256:");
    fs::copy(ours.join("bundle.json"), target.join("bundle.json")).unwrap();
    let [by_program, by_script] = said(&scratch, &target);
    assert!(by_program.contains("wrong: SHA256SUMS: "), "{by_program}");
    assert!(by_program.contains("wrong: checkpoint.txt: "), "{by_program}");
    assert!(by_script.contains("FAIL SHA256SUMS: the exporter did not sign it"), "{by_script}");
}

#[test]
fn what_was_left_out_and_missing_statements_of_the_authority_are_told() {
    let scratch = site();
    let hold = scratch.place.keys("records/hold")[0].clone();
    scratch.place.alter(&hold, |bytes| bytes[60] ^= 1);
    let target = scratch.path("part");
    scratch.run(&["evidence", "export", target.to_str().unwrap()], 5);
    expect_said(&scratch, &target, &format!("the exporter left out: {hold}"));
    expect(&scratch, &target, true, "the rest");
    for name in ["00000002", "00000002.sig"] {
        fs::remove_file(target.join("identities").join(name)).unwrap();
    }
    expect_said(&scratch, &target, "is here before it from number 2 on");
}

#[test]
fn a_statement_of_the_authority_that_somebody_removed_is_told_by_an_export() {
    let scratch = site();
    let statements = scratch.place.keys("ids");
    scratch.place.remove(&statements[1].to_string());
    let target = scratch.path("gap");
    let output = scratch.run(&["evidence", "export", target.to_str().unwrap()], 5);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("finds no statement 2, which may be a revocation"), "{said}");
}

#[test]
fn paths_in_names_of_sources_and_commands_are_told_or_left_out() {
    let scratch = fresh();
    let source = scratch.source();
    let dumped = "/bin/echo a secret place";
    scratch.run(&["snapshot", source.to_str().unwrap()], 0);
    let stream = format!("said.txt={dumped}");
    scratch.run(&["snapshot", "--source", "named", "--stream", &stream], 0);
    let target = scratch.path("bundle");
    let output = scratch.run(&["evidence", "export", target.to_str().unwrap()], 0);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.matches("holds a path").count(), 1, "{said}");
    assert!(said.contains(source.to_str().unwrap()), "{said}");
    let manifests: Vec<String> = fs::read_dir(target.join("manifests"))
        .unwrap()
        .map(|file| String::from_utf8_lossy(&fs::read(file.unwrap().path()).unwrap()).into_owned())
        .filter(|text| text.contains("\"named\""))
        .collect();
    assert!(manifests.iter().any(|text| text.contains("\"echo\"")), "{manifests:?}");
    for text in ["/bin/echo", "secret", "said.txt"] {
        assert!(!manifests.iter().any(|manifest| manifest.contains(text)), "{text}");
    }
}
