//! What a file says of the sections that nothing else overrides, value by value, to show it.

use crate::settings::problem::Lines;
use toml::de::DeTable;
use toml::de::DeValue;

/// A value of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// With its sections, as `job.app.schedule`.
    pub(crate) name: String,
    /// As the file has it.
    pub(crate) words: String,
    pub(crate) line: usize,
}

/// Every value of the sections that are not shown by themselves, in the order of the lines.
pub(crate) fn said(file: &DeTable<'_>, lines: &Lines) -> Vec<Said> {
    let mut all = Vec::new();
    for (key, value) in file {
        let name: &str = key.get_ref();
        if !SHOWN_APART.contains(&name) {
            add(&mut all, name, value.get_ref(), lines.of(&key.span()), lines);
        }
    }
    all.sort_by_key(|said| said.line);
    all
}

fn add(all: &mut Vec<Said>, name: &str, value: &DeValue<'_>, line: usize, lines: &Lines) {
    if let Some(table) = value.as_table() {
        for (key, value) in table {
            let inner: &str = key.get_ref();
            add(all, &format!("{name}.{inner}"), value.get_ref(), lines.of(&key.span()), lines);
        }
        return;
    }
    let tables = value.as_array().filter(|list| list.iter().any(|each| each.get_ref().is_table()));
    if let Some(tables) = tables {
        for (number, table) in tables.iter().enumerate() {
            let name = format!("{name}.{}", number + 1);
            add(all, &name, table.get_ref(), lines.of(&table.span()), lines);
        }
        return;
    }
    all.push(Said { name: name.to_owned(), words: words(value), line });
}

fn words(value: &DeValue<'_>) -> String {
    if let Some(list) = value.as_array() {
        let entries: Vec<String> = list.iter().map(|entry| words(entry.get_ref())).collect();
        return format!("[{}]", entries.join(", "));
    }
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(is_true) => is_true.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) | DeValue::Table(_) => String::new(),
    }
}

/// What the command line and the environment may override, and where secrets may stand.
const SHOWN_APART: [&str; 4] = ["repository", "copy", "cache", "notify"];
