//! A table of the file while its keys are taken: what nobody took is a problem.

use crate::settings::At;
use crate::settings::place::check_no_tilde;
use crate::settings::problem::Lines;
use crate::settings::problem::Problem;
use crate::settings::problem::meant;
use std::cell::RefCell;
use std::path::Path;
use std::path::PathBuf;
use std::rc::Rc;
use toml::de::DeTable;
use toml::de::DeValue;

/// A table whose keys are taken one by one.
#[derive(Debug)]
pub(crate) struct Section<'t> {
    /// As messages name it; empty for the file itself.
    name: String,
    line: usize,
    entries: &'t DeTable<'t>,
    lines: &'t Lines,
    folder: &'t Path,
    /// The keys that somebody asked for.
    known: Vec<&'static str>,
    problems: Rc<RefCell<Vec<Problem>>>,
}

impl<'t> Section<'t> {
    /// The whole file.
    pub(crate) fn file(entries: &'t DeTable<'t>, lines: &'t Lines, folder: &'t Path) -> Self {
        let (name, problems) = (String::new(), Rc::default());
        Self { name, line: 1, entries, lines, folder, known: Vec::new(), problems }
    }

    /// The line where it begins.
    pub(crate) const fn line(&self) -> usize {
        self.line
    }

    /// As messages name it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Notes a problem of the section.
    pub(crate) fn refuse(&self, line: usize, what: String) {
        self.problems.borrow_mut().push(Problem { line, what });
    }

    /// Notes a problem of the value of a key.
    pub(crate) fn refuse_key(&self, line: usize, key: &str, why: &str) {
        self.refuse(line, format!("`{key}` in {}: {why}", self.name));
    }

    /// Notes that a key is missing.
    pub(crate) fn refuse_missing(&self, key: &str) {
        self.refuse(self.line, format!("{} has no `{key}`", self.name));
    }

    /// The line of a key, if it is there; it is not taken.
    pub(crate) fn line_of(&self, key: &str) -> Option<usize> {
        let (key, _value) = self.entries.get_key_value(key)?;
        Some(self.lines.of(&key.span()))
    }

    /// A string that is not empty.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<At<String>> {
        let (line, value) = self.take(key)?;
        let Some(text) = value.as_str() else {
            return self.refuse_type(line, key, value, "a string");
        };
        if text.is_empty() {
            self.refuse(line, format!("`{key}` in {} is empty", self.name));
            return None;
        }
        Some(At { value: text.to_owned(), line })
    }

    /// Whether a key is there with a string; it is not taken.
    pub(crate) fn has_text(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|value| value.get_ref().is_str())
    }

    /// A string that `parse` understands; its error says what is wrong.
    pub(crate) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let At { value, line } = self.text(key)?;
        match parse(&value) {
            Ok(value) => Some(At { value, line }),
            Err(why) => {
                self.refuse_key(line, key, &why);
                None
            }
        }
    }

    /// One of some words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<At<T>> {
        let words: Vec<&str> = choices.iter().map(|(word, _value)| *word).collect();
        self.parsed(key, |text| {
            let found = choices.iter().find(|(word, _value)| *word == text);
            found.map(|(_word, value)| *value).ok_or_else(|| match meant(text, &words) {
                Some(meant) => format!("there is no `{text}`; did you mean `{meant}`?"),
                None => format!("there is no `{text}`, only `{}`", words.join("`, `")),
            })
        })
    }

    /// A path; a relative one starts where the file lies.
    pub(crate) fn path(&mut self, key: &'static str) -> Option<At<PathBuf>> {
        let folder = self.folder;
        self.parsed(key, |text| check_no_tilde(text).map(|()| folder.join(text)))
    }

    /// Where relative paths start.
    pub(crate) const fn folder(&self) -> &'t Path {
        self.folder
    }

    /// A whole number of 1 or more.
    pub(crate) fn count(&mut self, key: &'static str) -> Option<At<u32>> {
        let (line, value) = self.take(key)?;
        let digits = value.as_integer();
        let count =
            digits.and_then(|digits| u32::from_str_radix(digits.as_str(), digits.radix()).ok());
        if count.is_none_or(|count| count == 0) {
            let what = format!("`{key}` in {} is not a whole number of 1 or more", self.name);
            self.refuse(line, what);
            return None;
        }
        count.map(|value| At { value, line })
    }

    /// `true` or `false`.
    pub(crate) fn switch(&mut self, key: &'static str) -> Option<At<bool>> {
        let (line, value) = self.take(key)?;
        match value.as_bool() {
            Some(value) => Some(At { value, line }),
            None => self.refuse_type(line, key, value, "`true` or `false`"),
        }
    }

    /// A list of paths with at least one entry; relative ones start where the file lies.
    pub(crate) fn paths(&mut self, key: &'static str) -> Option<At<Vec<PathBuf>>> {
        let At { value, line } = self.texts(key)?;
        let mut paths = Vec::new();
        for text in value {
            match check_no_tilde(&text) {
                Ok(()) if text.is_empty() => self.refuse_key(line, key, "a path is empty"),
                Ok(()) => paths.push(self.folder.join(text)),
                Err(why) => self.refuse_key(line, key, &why),
            }
        }
        Some(At { value: paths, line })
    }

    /// A list of strings with at least one entry.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<At<Vec<String>>> {
        let (line, value) = self.take(key)?;
        let Some(entries) = value.as_array() else {
            return self.refuse_type(line, key, value, "a list of strings");
        };
        let mut texts = Vec::new();
        for entry in entries {
            let Some(text) = entry.get_ref().as_str() else {
                return self.refuse_type(line, key, value, "a list of strings");
            };
            texts.push(text.to_owned());
        }
        if texts.is_empty() {
            self.refuse(line, format!("`{key}` in {} is empty", self.name));
            return None;
        }
        Some(At { value: texts, line })
    }

    /// A table that is the value of a key; `instead` says what to write if it is a plain string.
    pub(crate) fn table(&mut self, key: &'static str, instead: &str) -> Option<Section<'t>> {
        let (line, value) = self.take(key)?;
        if value.is_str() {
            self.refuse(line, format!("`{key}` in {} {instead}", self.name));
            return None;
        }
        match value.as_table() {
            Some(entries) => Some(self.inner(format!("`{key}` in {}", self.name), line, entries)),
            None => self.refuse_type(line, key, value, "a table `{ … }`"),
        }
    }

    /// The section `[key]`.
    pub(crate) fn section(&mut self, key: &'static str) -> Option<Section<'t>> {
        let (line, value) = self.take(key)?;
        let header = format!("[{}]", self.dotted(key));
        match value.as_table() {
            Some(entries) => Some(self.inner(header, line, entries)),
            None => self.refuse_type(line, key, value, &format!("a section `{header}`")),
        }
    }

    /// Every section `[key.NAME]`, with its name.
    pub(crate) fn named_sections(&mut self, key: &'static str) -> Vec<(At<String>, Section<'t>)> {
        let Some((line, value)) = self.take(key) else { return Vec::new() };
        let wanted = format!("one or more sections `[{key}.NAME]`");
        let Some(entries) = value.as_table() else {
            self.refuse_type::<()>(line, key, value, &wanted);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (name, entry) in entries {
            let line = self.lines.of(&name.span());
            let name: &str = name.get_ref();
            match entry.get_ref().as_table() {
                Some(entries) => {
                    let section = self.inner(format!("[{key}.{name}]"), line, entries);
                    sections.push((At { value: name.to_owned(), line }, section));
                }
                None => {
                    self.refuse_type::<()>(line, name, entry.get_ref(), &wanted);
                }
            }
        }
        // As they stand in the file.
        sections.sort_by_key(|(name, _section)| name.line);
        sections
    }

    /// Every section `[[key]]`.
    pub(crate) fn sections(&mut self, key: &'static str) -> Vec<Section<'t>> {
        let Some((line, value)) = self.take(key) else { return Vec::new() };
        let wanted = format!("one or more sections `[[{}]]`", self.dotted(key));
        let Some(entries) = value.as_array() else {
            self.refuse_type::<()>(line, key, value, &wanted);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for entry in entries {
            let line = self.lines.of(&entry.span());
            match entry.get_ref().as_table() {
                Some(entries) => {
                    sections.push(self.inner(format!("[[{}]]", self.dotted(key)), line, entries));
                }
                None => {
                    self.refuse_type::<()>(line, key, entry.get_ref(), &wanted);
                }
            }
        }
        sections
    }

    /// Notes the keys that nobody took; returns all problems so far, in the order of the lines.
    pub(crate) fn finish(self) -> Vec<Problem> {
        for (key, _value) in self.entries {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let what = if self.name.is_empty() {
                let known = format!("sections are `{}`", self.known.join("`, `"));
                format!("there is no section `{name}`{}", self.instead_of(name, &known))
            } else {
                let known = format!("it may have `{}`", self.known.join("`, `"));
                format!(
                    "there is no key `{name}` in {}{}",
                    self.name,
                    self.instead_of(name, &known)
                )
            };
            self.refuse(self.lines.of(&key.span()), what);
        }
        let mut problems = self.problems.borrow().clone();
        problems.sort_by_key(|problem| problem.line);
        problems
    }

    fn instead_of(&self, name: &str, otherwise: &str) -> String {
        match meant(name, &self.known) {
            Some(meant) => format!("; did you mean `{meant}`?"),
            None => format!("; {otherwise}"),
        }
    }

    /// A section of this one, as the file's headers name it.
    fn dotted(&self, key: &str) -> String {
        match self.name.trim_matches(['[', ']']) {
            "" => key.to_owned(),
            own => format!("{own}.{key}"),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<(usize, &'t DeValue<'t>)> {
        self.known.push(key);
        let (name, value) = self.entries.get_key_value(key)?;
        Some((self.lines.of(&name.span()), value.get_ref()))
    }

    fn inner(&self, name: String, line: usize, entries: &'t DeTable<'t>) -> Section<'t> {
        let (lines, folder, problems) = (self.lines, self.folder, Rc::clone(&self.problems));
        Section { name, line, entries, lines, folder, known: Vec::new(), problems }
    }

    fn refuse_type<T>(
        &self,
        line: usize,
        key: &str,
        found: &DeValue<'_>,
        wanted: &str,
    ) -> Option<T> {
        let section =
            if self.name.is_empty() { String::new() } else { format!(" in {}", self.name) };
        let found = found.type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        self.refuse(line, format!("`{key}`{section} is {article} {found}, and should be {wanted}"));
        None
    }
}
