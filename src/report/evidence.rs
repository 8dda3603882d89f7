//! The keys of the records that a report rests on.

use crate::report::model::Report;
use serde_json::Value;
use std::collections::BTreeSet;

/// The keys of all records, manifests and certificates that a report names as evidence.
///
/// Every row names its own in the member `evidence`, whatever section it is of: what is added to a report is found, too.
pub(crate) fn evidence_of(report: &Report) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    // A report has nothing that JSON cannot say.
    collect(&serde_json::to_value(report).unwrap_or_default(), &mut keys);
    keys
}

fn collect(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, keys)),
        Value::Object(members) => {
            for (name, value) in members {
                if name == "evidence" {
                    add(value, keys);
                } else {
                    collect(value, keys);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A key, or a list of keys.
fn add(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::String(key) => drop(keys.insert(key.clone())),
        Value::Array(values) => values.iter().for_each(|value| add(value, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
    }
}
