//! `docs/config.schema.json` says what the program takes: the example is valid, and each section has the same keys.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::out;
use crate::schema::Schemas;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use toml::de::DeTable;
use toml::de::DeValue;

fn schemas() -> Schemas {
    Schemas::read(Path::new("docs"))
}

/// TOML as JSON.
fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text.as_ref()),
        DeValue::Integer(number) => json!(number.as_str().parse::<i64>().unwrap()),
        DeValue::Boolean(is_true) => json!(is_true),
        DeValue::Array(list) => list.iter().map(|entry| value_of(entry.get_ref())).collect(),
        DeValue::Table(table) => table_of(table),
        DeValue::Float(_) | DeValue::Datetime(_) => Value::Null,
    }
}

fn table_of(table: &DeTable<'_>) -> Value {
    let pairs =
        table.iter().map(|(key, value)| (key.get_ref().to_string(), value_of(value.get_ref())));
    Value::Object(pairs.collect())
}

/// What the schema finds wrong with a file.
fn problems(text: &str) -> Vec<String> {
    let parsed = DeTable::parse(text).unwrap();
    schemas().check("config", &table_of(parsed.get_ref()))
}

#[test]
fn the_example_is_as_the_schema_says_and_mistakes_are_not() {
    let desk = Desk::without_repository();
    let example = out(&desk.run(&["config", "example"]));
    assert_eq!(problems(&example), Vec::<String>::new());
    let printed: Value = serde_json::from_str(&out(&desk.run(&["config", "schema"]))).unwrap();
    assert_eq!(printed["type"], "object");
    for wrong in [
        "[repositry]\n",
        "[repository]\npassword = 'x'\n",
        "[repository]\npassword = { file = 'a', command = ['b'] }\n",
        "[job.a]\nkind = 'files'\n",
        "[job.a]\nkind = 'files'\npaths = ['/a']\ndsn = 'x'\n",
        "[job.a]\nkind = 'files'\npaths = ['/a']\nrpo = 'soon'\n",
        "[[copy]]\nname = 'a'\nurl = '/a'\nmode = 'mirror'\nkeep_last = 1\n",
        "[retention]\ndaily = 0\n",
        "[drill.a]\ntarget = 'files'\n",
        "[drill.a]\ntarget = 'scenario'\n",
        "[drill.a]\ntarget = 'url'\nsource = 'x'\n",
        "[metrics]\ntextfile = '/x.txt'\n",
        "[[notify.channel]]\nname = 'a'\nkind = 'webhook'\n",
    ] {
        assert!(!problems(wrong).is_empty(), "{wrong}");
        desk.put("wrong.toml", wrong.as_bytes());
        let output = desk.run(&["config", "check", "--config", "wrong.toml"]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}

/// The keys that the program says a section may have, of a file with a wrong one.
fn keys_told(desk: &Desk, text: &str) -> BTreeSet<String> {
    desk.put("keys.toml", text.as_bytes());
    let told = out(&desk.run(&["config", "check", "--config", "keys.toml"]));
    let line = told.lines().find(|line| line.contains("zzzzzzzzzzzz"));
    assert!(line.is_some(), "{text}: {told}");
    let (_, known) = line.unwrap().split_once("; ").unwrap();
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The keys of an object of the schema.
fn keys(schema: &Value, pointer: &str) -> BTreeSet<String> {
    let found = schema.pointer(pointer).and_then(Value::as_object);
    assert!(found.is_some(), "{pointer}");
    found.unwrap().keys().cloned().collect()
}

#[test]
fn every_section_has_the_keys_that_the_program_takes() {
    let desk = Desk::without_repository();
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string("docs/config.schema.json").unwrap()).unwrap();
    let wrong = "zzzzzzzzzzzz = 1\n";
    let job = |kind: &str| format!("[job.a]\n{wrong}kind = '{kind}'\n");
    let channel = |kind: &str| format!("[[notify.channel]]\n{wrong}kind = '{kind}'\n");
    let drill = |target: &str| format!("[drill.a]\n{wrong}target = '{target}'\n");
    let copy = |mode: &str| format!("[[copy]]\n{wrong}name = 'a'\nurl = '/a'\nmode = '{mode}'\n");
    let cases = [
        (wrong.to_owned(), "/properties"),
        (format!("[repository]\n{wrong}"), "/properties/repository/properties"),
        (format!("[cache]\n{wrong}"), "/properties/cache/properties"),
        (format!("[retention]\n{wrong}"), "/properties/retention/properties"),
        (format!("[check]\n{wrong}"), "/properties/check/properties"),
        (format!("[maintenance]\n{wrong}"), "/properties/maintenance/properties"),
        (format!("[metrics]\n{wrong}"), "/properties/metrics/properties"),
        (format!("[notify]\n{wrong}"), "/properties/notify/properties"),
        (copy("snapshots"), "/properties/copy/items/oneOf/1/properties"),
        (job("files"), "/$defs/job/oneOf/0/properties"),
        (job("postgres"), "/$defs/job/oneOf/1/properties"),
        (job("command"), "/$defs/job/oneOf/2/properties"),
        (job("several"), "/$defs/job/oneOf/3/properties"),
        (drill("scratch"), "/$defs/drill/oneOf/0/properties"),
        (drill("url"), "/$defs/drill/oneOf/1/properties"),
        (drill("files"), "/$defs/drill/oneOf/2/properties"),
        (drill("command"), "/$defs/drill/oneOf/3/properties"),
        (drill("scenario"), "/$defs/drill/oneOf/4/properties"),
        (channel("webhook"), "/$defs/channel/oneOf/0/properties"),
        (channel("smtp"), "/$defs/channel/oneOf/1/properties"),
        (channel("ping"), "/$defs/channel/oneOf/2/properties"),
        (channel("command"), "/$defs/channel/oneOf/3/properties"),
    ];
    for (text, pointer) in cases {
        assert_eq!(keys_told(&desk, &text), keys(&schema, pointer), "{text}{pointer}");
    }
}
