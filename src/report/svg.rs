//! Charts as SVG: lines that may be filled, and bars. Whole numbers alone, so that every machine draws the same bytes.
//!
//! Each has a title and a description for those who do not see it; colours are classes of the page's style sheet.

use maud::Markup;
use maud::html;
use std::fmt::Write as _;

/// What a chart is of, and its axes.
pub(super) struct Chart<'a> {
    /// Unique in the page.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    /// What it shows, in a sentence with its most important numbers.
    pub(super) description: String,
    /// First and last value of the horizontal axis.
    pub(super) x: (i64, i64),
    /// Where the horizontal axis has labels.
    pub(super) x_ticks: Vec<(i64, String)>,
    pub(super) unit: Unit,
    /// A value that is drawn as a line across, and its label.
    pub(super) limit: Option<(i64, String)>,
}

/// What the vertical axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Seconds,
}

/// Points from left to right.
pub(super) struct Line<'a> {
    /// `one`, `two`: a colour and a dash of the style sheet.
    pub(super) class: &'a str,
    pub(super) points: Vec<(i64, i64)>,
    pub(super) is_filled: bool,
}

/// A bar over a value of the horizontal axis.
pub(super) struct Bar<'a> {
    pub(super) class: &'a str,
    pub(super) x: i64,
    pub(super) value: i64,
}

impl Chart<'_> {
    /// A chart of lines.
    pub(super) fn lines(&self, lines: &[Line<'_>]) -> Markup {
        let highest = lines.iter().flat_map(|line| &line.points).map(|point| point.1).max();
        let scale = self.scale(highest);
        let drawn = html! {
            @for line in lines {
                @let path = scale.path(&line.points);
                @if line.is_filled {
                    path class={ "area " (line.class) } d=(scale.closed(&path, &line.points)) {}
                }
                path class={ "line " (line.class) } d=(path) {}
            }
        };
        self.frame(&scale, &drawn)
    }

    /// A chart of bars, so many of which find room side by side.
    pub(super) fn bars(&self, bars: &[Bar<'_>], room_for: usize) -> Markup {
        let scale = self.scale(bars.iter().map(|bar| bar.value).max());
        let room = i64::try_from(room_for.max(1)).unwrap_or(1);
        let width = ((RIGHT - LEFT) * 7 / (room * 10)).clamp(10, 240);
        let drawn = html! {
            @for bar in bars {
                @let (middle, top) = scale.at(bar.x, bar.value);
                @let height = (BOTTOM - top).max(if bar.value > 0 { 8 } else { 0 });
                rect class={ "bar " (bar.class) } x=(tenths(middle - width / 2)) y=(tenths(BOTTOM - height))
                    width=(tenths(width)) height=(tenths(height)) {}
            }
        };
        self.frame(&scale, &drawn)
    }

    fn scale(&self, highest: Option<i64>) -> Scale {
        let highest =
            highest.unwrap_or(0).max(self.limit.as_ref().map_or(0, |limit| limit.0)).max(1);
        let step = self.unit.step(highest);
        let top = (highest / step + i64::from(highest % step > 0)).saturating_mul(step);
        Scale { x: self.x, top, step }
    }

    fn frame(&self, scale: &Scale, drawn: &Markup) -> Markup {
        let (title, description) = (format!("{}-title", self.id), format!("{}-text", self.id));
        html! {
            svg .chart viewBox={ "0 0 " (tenths(WIDTH)) " " (tenths(HEIGHT)) } role="img"
                aria-labelledby={ (title) " " (description) } xmlns="http://www.w3.org/2000/svg" {
                title id=(title) { (self.title) }
                desc id=(description) { (self.description) }
                @for value in scale.steps() {
                    @let (_, y) = scale.at(scale.x.0, value);
                    line .grid x1=(tenths(LEFT)) x2=(tenths(RIGHT)) y1=(tenths(y)) y2=(tenths(y)) {}
                    text .tick text-anchor="end" x=(tenths(LEFT - 60)) y=(tenths(y + 40)) { (self.unit.words(value)) }
                }
                @for (value, label) in &self.x_ticks {
                    @let (x, _) = scale.at(*value, 0);
                    line .notch x1=(tenths(x)) x2=(tenths(x)) y1=(tenths(BOTTOM)) y2=(tenths(BOTTOM + 40)) {}
                    text .tick text-anchor="middle" x=(tenths(x)) y=(tenths(BOTTOM + 170)) { (label) }
                }
                (drawn)
                line .axis x1=(tenths(LEFT)) x2=(tenths(RIGHT)) y1=(tenths(BOTTOM)) y2=(tenths(BOTTOM)) {}
                @if let Some((value, label)) = &self.limit {
                    @let (_, y) = scale.at(scale.x.0, *value);
                    line .limit x1=(tenths(LEFT)) x2=(tenths(RIGHT)) y1=(tenths(y)) y2=(tenths(y)) {}
                    text .limit-label text-anchor="end" x=(tenths(RIGHT)) y=(tenths(y - 40)) { (label) }
                }
            }
        }
    }
}

impl Unit {
    /// A round step that leads to `highest` in at most [`STEPS_COUNT`] steps.
    fn step(self, highest: i64) -> i64 {
        let (units, within): (&[i64], &[i64]) = match self {
            Self::Bytes => (BYTE_UNITS, &[1, 2, 5, 10, 20, 50, 100, 200, 500]),
            Self::Seconds => (&[1], SECOND_STEPS),
        };
        let steps =
            units.iter().flat_map(|unit| within.iter().map(move |step| unit.saturating_mul(*step)));
        steps
            .into_iter()
            .find(|step| highest / step < STEPS_COUNT || highest == step * STEPS_COUNT)
            .unwrap_or(highest)
    }

    fn words(self, value: i64) -> String {
        match self {
            Self::Bytes => {
                let value = value.unsigned_abs();
                let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].iter().zip(BYTE_UNITS).rev();
                let fits = units.map(|(word, unit)| (word, unit.unsigned_abs()));
                let found = fits.into_iter().find(|(_, unit)| value >= *unit);
                found.map_or_else(
                    || "0".to_owned(),
                    |(word, unit)| format!("{} {word}", value / unit),
                )
            }
            Self::Seconds if value == 0 => "0".to_owned(),
            Self::Seconds => crate::report::words::duration(value),
        }
    }
}

/// Where values are drawn, in tenths of a pixel.
struct Scale {
    x: (i64, i64),
    /// The value at the upper edge.
    top: i64,
    step: i64,
}

impl Scale {
    fn at(&self, x: i64, y: i64) -> (i64, i64) {
        let (from, until) = self.x;
        let span = until.saturating_sub(from).max(1);
        let across = part(x.saturating_sub(from).clamp(0, span), span, RIGHT - LEFT);
        let up = part(y.clamp(0, self.top), self.top.max(1), BOTTOM - TOP);
        (LEFT + across, BOTTOM - up)
    }

    fn steps(&self) -> impl Iterator<Item = i64> {
        let (step, top) = (self.step, self.top);
        std::iter::successors(Some(0), move |value: &i64| Some(value.saturating_add(step)))
            .take_while(move |value| *value <= top)
            .take(STEPS_COUNT_MAX)
    }

    fn path(&self, points: &[(i64, i64)]) -> String {
        let mut path = String::new();
        for (number, (x, y)) in points.iter().enumerate() {
            let (x, y) = self.at(*x, *y);
            let letter = if number == 0 { 'M' } else { 'L' };
            // Writing into a string does not fail.
            let _ignored = write!(path, "{letter}{} {}", tenths(x), tenths(y));
        }
        path
    }

    /// The path down to the axis and back.
    fn closed(&self, path: &str, points: &[(i64, i64)]) -> String {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return String::new();
        };
        let bottom = tenths(BOTTOM);
        let [first, last] = [first, last].map(|point| tenths(self.at(point.0, 0).0));
        format!("{path}L{last} {bottom}L{first} {bottom}Z")
    }
}

/// `length` times `value` of `whole`.
fn part(value: i64, whole: i64, length: i64) -> i64 {
    let drawn = i128::from(length) * i128::from(value) / i128::from(whole);
    i64::try_from(drawn).unwrap_or(length)
}

/// Tenths of a pixel, with a point.
fn tenths(value: i64) -> String {
    let value = value.max(0);
    match value % 10 {
        0 => (value / 10).to_string(),
        part => format!("{}.{part}", value / 10),
    }
}

const WIDTH: i64 = 4_800;
const HEIGHT: i64 = 2_000;
const LEFT: i64 = 640;
const RIGHT: i64 = 4_700;
const TOP: i64 = 180;
const BOTTOM: i64 = 1_740;
/// Steps of the vertical axis, as far as round numbers allow.
const STEPS_COUNT: i64 = 4;
const STEPS_COUNT_MAX: usize = 12;
const BYTE_UNITS: &[i64] = &[1, 1 << 10, 1 << 20, 1 << 30, 1 << 40, 1 << 50];
const SECOND_STEPS: &[i64] = &[
    1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800,
    604_800, 1_209_600, 2_592_000, 7_776_000, 31_536_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        for (unit, highest, step) in [
            (Unit::Bytes, 0, 1),
            (Unit::Bytes, 4, 1),
            (Unit::Bytes, 3 << 30, 1 << 30),
            (Unit::Bytes, 900 << 20, 500 << 20),
            (Unit::Seconds, 93_600, 43_200),
            (Unit::Seconds, i64::MAX, i64::MAX),
        ] {
            assert_eq!(unit.step(highest), step, "{highest}");
        }
    }

    #[test]
    fn what_is_drawn_stays_inside_whatever_the_numbers() {
        let chart = Chart {
            id: "c",
            title: "<t>",
            description: "a & b".to_owned(),
            x: (0, 0),
            x_ticks: vec![(i64::MIN, "<b>".to_owned())],
            unit: Unit::Bytes,
            limit: None,
        };
        let points = vec![(i64::MIN, i64::MIN), (i64::MAX, i64::MAX)];
        let text = chart.lines(&[Line { class: "one", points, is_filled: true }]).into_string();
        assert!(!text.contains('-') || !text.contains("L-"), "{text}");
        assert!(text.contains("&lt;t&gt;") && text.contains("&lt;b&gt;"), "{text}");
    }
}
