//! What sections are made of: badges, tables that fold, moments and sizes.

use crate::report::model::Level;
use crate::report::moment::Moment;
use crate::report::page::Page;
use crate::units::human_bytes;
use maud::Markup;
use maud::html;

/// A table with a caption; many rows fold.
pub(super) struct Grid<'a> {
    pub(super) caption: &'a str,
    pub(super) columns: Vec<Column>,
    /// Each as many cells as there are columns; the first one is the row's head. A row may have an id.
    pub(super) rows: Vec<(Option<String>, Vec<Markup>)>,
}

/// The head of a column.
pub(super) struct Column {
    name: &'static str,
    class: &'static str,
}

/// A column of words.
pub(super) const fn words(name: &'static str) -> Column {
    Column { name, class: "" }
}

/// A column of numbers.
pub(super) const fn number(name: &'static str) -> Column {
    Column { name, class: "number" }
}

/// A column that does not break.
pub(super) const fn fixed(name: &'static str) -> Column {
    Column { name, class: "fixed" }
}

impl Grid<'_> {
    /// The table; what does not fit on a small screen scrolls in a frame of its own.
    pub(super) fn draw(self) -> Markup {
        let Self { caption, columns, mut rows } = self;
        if rows.len() <= ROWS_COUNT_MAX {
            return table(caption, &columns, &rows);
        }
        let rest = rows.split_off(ROWS_COUNT_FIRST);
        let more = format!("{caption}, continued");
        html! {
            (table(caption, &columns, &rows))
            details {
                summary { (rest.len()) " more rows" }
                (table(&more, &columns, &rest))
            }
        }
    }
}

fn table(caption: &str, columns: &[Column], rows: &[(Option<String>, Vec<Markup>)]) -> Markup {
    html! {
        div .scroll .small[rows.len() <= ROWS_COUNT_SMALL] role="region" aria-label=(caption) tabindex="0" {
            table {
                caption { (caption) }
                thead { tr { @for column in columns { th scope="col" class=(column.class) { (column.name) } } } }
                tbody {
                    @for (id, cells) in rows {
                        tr id=[id.as_ref()] {
                            @for (number, (cell, column)) in cells.iter().zip(columns).enumerate() {
                                @if number == 0 {
                                    th scope="row" class=(column.class) { (cell) }
                                } @else {
                                    td class=(column.class) { (cell) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A word with a colour and a mark, so that it is understood without the colour.
pub(super) fn badge(level: Level, word: &str) -> Markup {
    let (class, mark) = match level {
        Level::Good => ("good", "✓"),
        Level::Unknown => ("unknown", "?"),
        Level::Attention => ("attention", "!"),
        Level::Bad => ("bad", "✕"),
    };
    let long = if word.len() > BADGE_LETTERS { " long" } else { "" };
    html! { span class={ "badge " (class) (long) } { span aria-hidden="true" { (mark) } " " (word) } }
}

/// The badge of the outcome of a drill, a check or a control.
pub(super) fn outcome_badge(outcome: &str) -> Markup {
    match outcome {
        "pass" => badge(Level::Good, "pass"),
        "fail" => badge(Level::Bad, "fail"),
        "not-verified" => badge(Level::Attention, "not verified"),
        other => badge(Level::Unknown, &other.replace('-', " ")),
    }
}

/// A paragraph that says why there is nothing.
pub(super) fn nothing(words: &str) -> Markup {
    html! { p .nothing { (words) } }
}

/// The first digits of an id, all of it for those who point at it.
pub(super) fn short_id(id: &str) -> Markup {
    let short = id.get(..8).unwrap_or(id);
    html! { span .id title=(id) { (short) } }
}

/// Text, or a dash.
pub(super) fn or_dash(text: Option<&str>) -> Markup {
    html! { @match text { Some(text) => (text), None => "–" } }
}

/// A size, or a dash.
pub(super) fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "–".to_owned(), human_bytes)
}

impl Page<'_> {
    /// A moment in the report's time zone, to the minute.
    pub(super) fn time(&self, moment: Moment) -> Markup {
        html! { time datetime=(moment.to_string()) { (self.zone.minute(moment)) } }
    }

    /// The same, or a dash.
    pub(super) fn time_or_dash(&self, moment: Option<Moment>) -> Markup {
        html! { @match moment { Some(moment) => (self.time(moment)), None => "–" } }
    }
}

/// A badge with more may take more than one line.
const BADGE_LETTERS: usize = 24;
/// A table of so many rows is printed on one page.
const ROWS_COUNT_SMALL: usize = 12;
/// A table with more rows folds.
const ROWS_COUNT_MAX: usize = 70;
/// Rows of it that are seen at once.
const ROWS_COUNT_FIRST: usize = 40;
