//! `[retention]`: which snapshots are kept.

use crate::settings::At;
use crate::settings::section::Section;

/// The section `[retention]`; its keys are the options `--keep-…` of `forget`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetentionSection {
    /// Counts by the word of their option: `daily`.
    pub(crate) counts: Vec<(&'static str, At<u32>)>,
    /// Periods by the word of their option: `within-daily`.
    pub(crate) periods: Vec<(&'static str, At<String>)>,
    /// Tags that keep a snapshot.
    pub(crate) tags: Option<At<Vec<String>>>,
    /// Where days begin.
    pub(crate) timezone: Option<At<String>>,
}

impl RetentionSection {
    /// Takes the section from a file.
    pub(crate) fn decode(file: &mut Section<'_>) -> Option<Self> {
        let mut section = file.section("retention")?;
        let mut counts = Vec::new();
        for key in COUNTS {
            counts.extend(section.count(key).map(|count| (key, count)));
        }
        let mut periods = Vec::new();
        for (key, word) in PERIODS {
            periods.extend(section.text(key).map(|period| (word, period)));
        }
        let tags = section.texts("tags");
        let timezone = section.parsed("timezone", timezone);
        let line = section.line();
        if counts.is_empty() && periods.is_empty() && tags.is_none() {
            section.refuse(
                line,
                "[retention] keeps nothing: it needs a key such as `daily = 7`".to_owned(),
            );
        }
        section.finish();
        Some(Self { counts, periods, tags, timezone })
    }

    /// The same as options of `forget`.
    pub(crate) fn options(&self) -> Vec<String> {
        let counts = self.counts.iter();
        let counts = counts.map(|(word, at)| format!("--keep-{word}={}", at.value));
        let periods = self.periods.iter();
        let periods = periods.map(|(word, at)| format!("--keep-{word}={}", at.value));
        let tags = self.tags.iter().flat_map(|tags| &tags.value);
        let tags = tags.map(|tag| format!("--keep-tag={tag}"));
        let zone = self.timezone.iter().map(|zone| format!("--timezone={}", zone.value));
        counts.chain(periods).chain(tags).chain(zone).collect()
    }

    /// How many of the slots of this word are kept.
    pub(crate) fn count(&self, word: &str) -> Option<u32> {
        let found = self.counts.iter().find(|(known, _)| *known == word);
        found.map(|(_, at)| at.value)
    }
}

fn timezone(text: &str) -> Result<String, String> {
    match jiff::tz::TimeZone::get(text) {
        Ok(_zone) => Ok(text.to_owned()),
        Err(_unknown) => Err(format!("there is no time zone `{text}`")),
    }
}

const COUNTS: [&str; 6] = ["last", "hourly", "daily", "weekly", "monthly", "yearly"];
/// Keys and the words of their options.
const PERIODS: [(&str, &str); 6] = [
    ("within", "within"),
    ("within_hourly", "within-hourly"),
    ("within_daily", "within-daily"),
    ("within_weekly", "within-weekly"),
    ("within_monthly", "within-monthly"),
    ("within_yearly", "within-yearly"),
];
