//! A bundle of a period holds what its page rests on, whatever time that is of.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::evidence::expect;
use crate::evidence::export;
use crate::report_site::Site;
use crate::report_site::plan;
use crate::scratch::put;
use sbf_repo::format::attest::plan::Plan;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

/// The keys that the list at the end of a page has: by folders, a name each.
fn keys_in(page: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for list in page.split("<p class=\"id break\">").skip(1) {
        let (folder, names) = list.split_once("</p>").unwrap();
        let names = names.split("</ol>").next().unwrap().split("</li>");
        let names = names.filter_map(|name| name.rsplit_once('>').map(|(_tag, name)| name));
        keys.extend(names.filter(|name| !name.is_empty()).map(|name| format!("{folder}{name}")));
    }
    keys
}

#[test]
fn every_key_that_the_page_names_is_in_the_bundle() {
    let site = Site::empty();
    site.attest::<Plan>("2025-08-20T00:00:00Z", &plan());
    for day in ["2025-08-31", "2025-09-30", "2025-10-01", "2025-10-02", "2025-10-03"] {
        put(site.scratch.source().join(day), day);
        site.snapshot(&format!("{day}T02:00:02Z"), "app-db");
    }
    site.audit("2025-10-02T05:00:00Z", "restore", "app-db", 0);
    let month = ["report", "--json", "--month", "2025-10"];
    let told = |arguments: &[&str]| -> Value {
        serde_json::from_slice(&site.scratch.run(arguments, 0).stdout).unwrap()
    };
    let gone = told(&month)["report"]["snapshots"][0]["snapshot"].as_str().unwrap().to_owned();
    site.scratch.run(&["forget", &gone, "--force", "--reason", "pruned since"], 0);
    site.scratch.run(&["prune"], 0);
    put(site.scratch.path("auth.pub"), site.scratch.run(&["evidence", "public-key"], 0).stdout);
    let period = ["--from", "2025-10-01", "--to", "2025-10-31"];
    for (name, more) in [("digests", &[][..]), ("paths", &["--include-paths"])] {
        let bundle = export(&site.scratch, name, &[&period[..], more].concat());
        expect(&site.scratch, &bundle, true, name);
        let keys = keys_in(&fs::read_to_string(bundle.join("report.html")).unwrap());
        let file_of = |key: &str| match key.strip_prefix("manifests/") {
            Some(manifest) => format!("manifests/{}.json", manifest.split('/').nth(1).unwrap()),
            None => format!("records/{}.json", key.replace('/', "-")),
        };
        // Logs are there as a whole; the config is clear and signed where the repository is.
        let is_of_its_own = |key: &&String| !key.starts_with("audit/") && *key != "/config";
        for key in keys.iter().filter(is_of_its_own) {
            assert!(bundle.join(file_of(key)).is_file(), "{key} is not in the bundle");
        }
        for kind in ["records/plan/", "records/deletion/", "manifests/", "audit/"] {
            assert!(keys.iter().any(|key| key.starts_with(kind)), "{kind} is not in {keys:?}");
        }
        assert!(!keys.iter().any(|key| key.ends_with(&gone)), "{keys:?}");
        // The last two of October, and that of September which stands for its month.
        let about: Value =
            serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
        let manifests = keys.iter().filter(|key| key.starts_with("manifests/")).count();
        assert!(manifests > 2, "{keys:?}");
        assert_eq!(about["manifests"], manifests);
        let table = fs::read_to_string(bundle.join("population.csv")).unwrap();
        assert_eq!(table.lines().count(), 1 + manifests, "{table}");
    }
    // Without a page nothing rests on what is of another time.
    let open = export(&site.scratch, "open", &["--from", "2025-10-02"]);
    expect(&site.scratch, &open, true, "without an end");
    assert_eq!(fs::read_to_string(open.join("population.csv")).unwrap().lines().count(), 3);
}
