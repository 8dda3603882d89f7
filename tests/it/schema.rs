//! The part of JSON Schema that `docs/schema/` uses: a schema that says anything else is refused.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use regex_automata::meta::Regex;
use serde_json::Map;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The files of a folder, by their names up to `.schema.json`.
pub(crate) struct Schemas(BTreeMap<String, Value>);

/// A schema and the file whose definitions it names.
#[derive(Clone, Copy)]
struct Within<'a> {
    file: &'a str,
    schema: &'a Value,
}

impl Schemas {
    pub(crate) fn read(folder: &Path) -> Self {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let named = files.filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".schema.json")?.to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let parsed = serde_json::from_str(&text);
            Some((name, parsed.unwrap_or_else(|error| unreachable!("{}: {error}", path.display()))))
        });
        Self(named.collect())
    }

    /// The names of the files.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What of a value is not as a file says; nothing if all is.
    pub(crate) fn check(&self, file: &str, value: &Value) -> Vec<String> {
        match self.0.get(file) {
            Some(schema) => self.problems(Within { file, schema }, value, ""),
            None => vec![format!("there is no docs/schema/{file}.schema.json")],
        }
    }

    fn problems(&self, within: Within<'_>, value: &Value, at: &str) -> Vec<String> {
        let Some(rules) = within.schema.as_object() else {
            return vec![format!("{at}: {} is no schema", within.schema)];
        };
        let mut found = Vec::new();
        for (keyword, rule) in rules {
            found.extend(match keyword.as_str() {
                "$schema" | "$id" | "$comment" | "$defs" | "title" | "description" | "examples" => {
                    Vec::new()
                }
                "$ref" => self.referred(within, rule, value, at),
                "type" => of_type(rule, value, at),
                "const" => unless(rule == value, || format!("{at}: {value} is not {rule}")),
                "enum" => {
                    let is_one = rule.as_array().unwrap().contains(value);
                    unless(is_one, || format!("{at}: {value} is none of {rule}"))
                }
                "minLength" | "minItems" | "minProperties" | "maxProperties" | "maximum" => {
                    unless(is_within(keyword, rule, value), || {
                        format!("{at}: {value} is not as `{keyword}` of {rule} says")
                    })
                }
                "pattern" => {
                    let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
                    let fits = value.as_str().is_none_or(|text| pattern.is_match(text));
                    unless(fits, || format!("{at}: {value} does not look like {rule}"))
                }
                "minimum" => {
                    let is_less =
                        value.as_f64().is_some_and(|number| number < rule.as_f64().unwrap());
                    unless(!is_less, || format!("{at}: {value} is less than {rule}"))
                }
                "properties" | "required" | "additionalProperties" => {
                    let fields = value.as_object();
                    fields.map_or_else(Vec::new, |fields| self.fields(within, keyword, fields, at))
                }
                "items" => {
                    let entries = value.as_array().into_iter().flatten().enumerate();
                    let inside = Within { schema: rule, ..within };
                    entries
                        .flat_map(|(number, entry)| {
                            self.problems(inside, entry, &format!("{at}/{number}"))
                        })
                        .collect()
                }
                "oneOf" | "anyOf" => self.one_of(within, keyword, rule, value, at),
                other => vec![format!("{at}: the keyword `{other}` is not known to this test")],
            });
        }
        found
    }

    fn fields(
        &self,
        within: Within<'_>,
        keyword: &str,
        fields: &Map<String, Value>,
        at: &str,
    ) -> Vec<String> {
        let rule = &within.schema[keyword];
        match keyword {
            "required" => {
                let names = rule.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                let missing = names.filter(|name| !fields.contains_key(*name));
                missing.map(|name| format!("{at}: `{name}` is missing")).collect()
            }
            "properties" => {
                let known = rule.as_object().unwrap().iter();
                let there =
                    known.filter_map(|(name, schema)| Some((name, schema, fields.get(name)?)));
                let inside = |schema| Within { schema, ..within };
                there
                    .flat_map(|(name, schema, value)| {
                        self.problems(inside(schema), value, &format!("{at}/{name}"))
                    })
                    .collect()
            }
            _ => {
                let known = within.schema.get("properties").and_then(Value::as_object);
                let is_known = |name: &String| known.is_some_and(|known| known.contains_key(name));
                let others = fields.iter().filter(|(name, _)| !is_known(name));
                let inside = Within { schema: rule, ..within };
                others
                    .flat_map(|(name, value)| match rule.as_bool() {
                        Some(true) => Vec::new(),
                        Some(false) => vec![format!("{at}: `{name}` is not in the schema")],
                        None => self.problems(inside, value, &format!("{at}/{name}")),
                    })
                    .collect()
            }
        }
    }

    fn one_of(
        &self,
        within: Within<'_>,
        keyword: &str,
        rule: &Value,
        value: &Value,
        at: &str,
    ) -> Vec<String> {
        let choices = rule.as_array().unwrap().iter();
        let results = choices.map(|schema| self.problems(Within { schema, ..within }, value, at));
        let results: Vec<_> = results.collect();
        let count = results.iter().filter(|found| found.is_empty()).count();
        if count == 1 || (count > 1 && keyword == "anyOf") {
            return Vec::new();
        }
        if count > 1 {
            return vec![format!("{at}: {count} choices of `oneOf` fit {value}")];
        }
        // Of what is meant, the least is wrong.
        results.into_iter().min_by_key(Vec::len).unwrap_or_default()
    }

    fn referred(&self, within: Within<'_>, rule: &Value, value: &Value, at: &str) -> Vec<String> {
        let (file, pointer) = rule.as_str().unwrap().split_once('#').unwrap();
        let file = file.strip_suffix(".schema.json").unwrap_or(within.file);
        match self.0.get(file).and_then(|schema| schema.pointer(pointer)) {
            Some(schema) => self.problems(Within { file, schema }, value, at),
            None => vec![format!("{at}: there is no {rule}")],
        }
    }
}

/// Whether a size is on the right side of a limit; what has no such size is.
fn is_within(keyword: &str, limit: &Value, value: &Value) -> bool {
    let size = match keyword {
        "minLength" => value.as_str().map(str::len),
        "minItems" => value.as_array().map(Vec::len),
        "minProperties" | "maxProperties" => value.as_object().map(Map::len),
        _maximum => value.as_u64().and_then(|number| usize::try_from(number).ok()),
    };
    let limit = usize::try_from(limit.as_u64().unwrap()).unwrap();
    size.is_none_or(|size| if keyword.starts_with("min") { size >= limit } else { size <= limit })
}

fn of_type(rule: &Value, value: &Value, at: &str) -> Vec<String> {
    let is = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => unreachable!("JSON has no type `{other}`"),
    };
    let fits = rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is));
    unless(fits, || format!("{at}: {value} is not of type {rule}"))
}

fn unless(holds: bool, why: impl FnOnce() -> String) -> Vec<String> {
    if holds { Vec::new() } else { vec![why()] }
}

#[test]
fn the_validator_finds_what_a_schema_forbids() {
    let schema = r##"{
        "$defs": { "id": { "type": "string" } },
        "oneOf": [
            { "type": "object", "additionalProperties": false, "required": ["a"], "properties": {
                "a": { "type": ["integer", "null"], "minimum": 0 },
                "b": { "type": "array", "items": { "$ref": "#/$defs/id" } },
                "c": { "enum": ["x", "y"] },
                "d": { "type": "object", "additionalProperties": { "const": true } } } },
            { "type": "object", "required": ["error"] }
        ]
    }"##;
    let schemas =
        Schemas(BTreeMap::from([("s".to_owned(), serde_json::from_str(schema).unwrap())]));
    let check = |text: &str| schemas.check("s", &serde_json::from_str(text).unwrap());
    for right in [r#"{"a":1}"#, r#"{"a":null,"b":["p"],"c":"x","d":{"z":true}}"#, r#"{"error":7}"#]
    {
        assert_eq!(check(right), [""; 0], "{right}");
    }
    for wrong in [
        r"{}",
        r#"{"a":-1}"#,
        r#"{"a":1.5}"#,
        r#"{"a":1,"e":1}"#,
        r#"{"a":1,"b":[7]}"#,
        r#"{"a":1,"c":"z"}"#,
        r#"{"a":1,"d":{"z":false}}"#,
        r#"{"a":1,"error":1}"#,
        "7",
    ] {
        let found = check(wrong);
        assert_eq!(found.is_empty(), wrong.contains("error"), "{wrong}: {found:?}");
    }
    assert_eq!(schemas.check("t", &Value::Null).len(), 1);
}
