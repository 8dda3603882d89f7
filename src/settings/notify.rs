//! `[notify]`: who is told what happens to the backups, and when.

use crate::settings::At;
use crate::settings::channel::ChannelSection;
use crate::settings::problem::meant;
use crate::settings::quantities;
use crate::settings::secret::Secret;
use crate::settings::section::Section;
use std::time::Duration;

/// The section `[notify]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotifySection {
    /// What is told.
    pub(crate) on: Vec<Occasion>,
    /// When an alert that goes on is told again.
    pub(crate) repeat_after: Duration,
    /// How long an alert is open and not acknowledged before level 2, 3, … is told; increasing.
    pub(crate) escalation: Vec<Duration>,
    /// Every `[[notify.channel]]`, in their order.
    pub(crate) channels: Vec<ChannelSection>,
}

/// What may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// A job failed.
    Failure,
    /// A job succeeded again.
    Recovered,
    /// A job did not run when it was to.
    Missed,
    /// The summary of a month.
    Monthly,
}

impl Default for NotifySection {
    fn default() -> Self {
        let (escalation, channels) = (Vec::new(), Vec::new());
        Self { on: Occasion::ALL.to_vec(), repeat_after: REPEAT_AFTER, escalation, channels }
    }
}

impl NotifySection {
    /// Takes the section from a file.
    pub(crate) fn decode(file: &mut Section<'_>) -> Self {
        let Some(mut section) = file.section("notify") else { return Self::default() };
        let on = occasions(&mut section);
        let repeat_after = section.parsed("repeat_after", quantities::duration);
        let channels = ChannelSection::decode_all(&mut section);
        if section.line_of("channel").is_none() {
            section.refuse(section.line(), "[notify] has no `[[notify.channel]]`".to_owned());
        }
        let after = section.section("escalation").and_then(|mut escalation| {
            if escalation.line_of("after").is_none() {
                escalation.refuse_missing("after");
            }
            let after = delays(&mut escalation);
            escalation.finish();
            after
        });
        // A wrong list says nothing of levels.
        if after.is_some() || section.line_of("escalation").is_none() {
            check_levels(&section, &channels, after.as_ref());
        }
        section.finish();
        Self {
            on: on.unwrap_or_else(|| Occasion::ALL.to_vec()),
            repeat_after: repeat_after.map_or(REPEAT_AFTER, |at| at.value),
            escalation: after.map(|at| at.value).unwrap_or_default(),
            channels,
        }
    }

    /// Every secret that it names.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &At<Secret>> {
        self.channels.iter().flat_map(ChannelSection::secrets)
    }
}

impl Occasion {
    const ALL: [Self; 4] = [Self::Failure, Self::Recovered, Self::Missed, Self::Monthly];

    /// As the file says it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Recovered => "recovered",
            Self::Missed => "missed",
            Self::Monthly => "monthly",
        }
    }
}

fn occasions(section: &mut Section<'_>) -> Option<Vec<Occasion>> {
    let At { value, line } = section.texts("on")?;
    let words = Occasion::ALL.map(Occasion::word);
    let mut found = Vec::new();
    for text in &value {
        match Occasion::ALL.into_iter().find(|occasion| occasion.word() == text) {
            Some(occasion) => found.push(occasion),
            None => section.refuse_key(
                line,
                "on",
                &match meant(text, &words) {
                    Some(meant) => format!("there is no `{text}`; did you mean `{meant}`?"),
                    None => format!("there is no `{text}`, only `{}`", words.join("`, `")),
                },
            ),
        }
    }
    Some(found)
}

fn delays(section: &mut Section<'_>) -> Option<At<Vec<Duration>>> {
    let At { value: texts, line } = section.texts("after")?;
    let mut delays: Vec<Duration> = Vec::new();
    for text in &texts {
        match quantities::duration(text) {
            Ok(delay) if delays.last().is_some_and(|last| *last >= delay) => {
                let why = format!("`{text}` is not longer than what stands before it");
                section.refuse_key(line, "after", &why);
            }
            Ok(delay) => delays.push(delay),
            Err(why) => section.refuse_key(line, "after", &why),
        }
    }
    (delays.len() == texts.len()).then_some(At { value: delays, line })
}

/// Each level must have a channel, and each channel a moment at which it is told.
fn check_levels(
    section: &Section<'_>,
    channels: &[ChannelSection],
    after: Option<&At<Vec<Duration>>>,
) {
    let steps = after.map_or(0, |after| after.value.len());
    let levels = u32::try_from(steps).unwrap_or(u32::MAX).saturating_add(1);
    for At { value: level, line } in channels.iter().map(|channel| &channel.level) {
        if *level > levels {
            let why = format!(
                "`after` in [notify.escalation] does not say when level {level} is told: it has {steps} of {} entries",
                level.saturating_sub(1)
            );
            section.refuse(*line, format!("`level` in [[notify.channel]]: {why}"));
        }
    }
    for level in 1..=levels {
        let has_one = channels.iter().any(|channel| channel.level.value == level);
        if !has_one && !channels.is_empty() {
            let line = after.map_or(section.line(), |after| after.line);
            section
                .refuse(line, format!("[notify] tells nobody at level {level}: no channel has it"));
        }
    }
}

/// Once a day.
const REPEAT_AFTER: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::settings::channel::ChannelKind;
    use crate::settings::channel::Template;
    use std::path::Path;

    fn decode(text: &str) -> Result<NotifySection, Vec<String>> {
        let decoded = Settings::decode(text, Path::new("/etc/sbf-repo"));
        let told = |problems: Vec<crate::settings::problem::Problem>| {
            problems.iter().map(ToString::to_string).collect()
        };
        decoded.map(|settings| settings.notify).map_err(told)
    }

    #[track_caller]
    fn refuses(text: &str, expected: &[&str]) {
        assert_eq!(decode(text).unwrap_err(), expected);
    }

    fn channel(more: &str) -> String {
        format!("[[notify.channel]]\nname = 'a'\n{more}\n")
    }

    #[test]
    fn what_is_not_said_is_usual() {
        let section = decode(&channel("kind = 'webhook'\nurl = 'https://x/y'")).unwrap();
        assert_eq!(section.on, Occasion::ALL);
        assert_eq!(section.repeat_after, Duration::from_hours(24));
        let [channel] = section.channels.as_slice() else { panic!("one channel") };
        assert_eq!((channel.level.value, channel.timeout), (1, Duration::from_secs(10)));
        let ChannelKind::Webhook(webhook) = &channel.kind else { panic!("a webhook") };
        assert_eq!(webhook.template, Template::Json);
    }

    #[test]
    fn wrong_words_are_met_with_what_may_be_meant() {
        refuses(
            &format!(
                "[notify]\non = ['failre', 'x']\nrepeat = '1h'\n{}",
                channel("kind = 'command'\ncommand = ['true']")
            ),
            &[
                "line 2: `on` in [notify]: there is no `failre`; did you mean `failure`?",
                "line 2: `on` in [notify]: there is no `x`, only `failure`, `recovered`, `missed`, `monthly`",
                "line 3: there is no key `repeat` in [notify]; it may have `on`, `repeat_after`, `channel`, `escalation`",
            ],
        );
        refuses(
            &channel("kind = 'webhok'"),
            &[
                "line 3: `kind` in [[notify.channel]]: there is no `webhok`; did you mean `webhook`?",
            ],
        );
        refuses(
            &channel("kind = 'webhook'\nurl = 'https://x'\ntemplate = 'slak'\nhosts = 'y'"),
            &[
                "line 5: `template` in [[notify.channel]]: there is no `slak`; did you mean `slack`?",
                "line 6: there is no key `hosts` in [[notify.channel]]; it may have `name`, `kind`, `level`, `subjects`, `timeout`, `url`, `template`, `headers`, `authorization`, `chat`",
            ],
        );
        refuses("[notify]\n", &["line 1: [notify] has no `[[notify.channel]]`"]);
    }

    #[test]
    fn urls_headers_and_addresses_are_looked_at() {
        for (more, expected) in [
            ("kind = 'webhook'", "line 1: [[notify.channel]] has no `url`"),
            (
                "kind = 'ping'\nurl = 'ftp://x'",
                "line 4: `url` in [[notify.channel]]: this is no URL such as `https://HOST/…`",
            ),
            (
                "kind = 'ping'\nurl = 'https:// x'",
                "line 4: `url` in [[notify.channel]]: this is no URL such as `https://HOST/…`",
            ),
            (
                "kind = 'ping'\nurl = 'https://x'\nlevel = 2",
                "line 5: `level` in [[notify.channel]]: a ping says at once how each run ended",
            ),
            (
                "kind = 'webhook'\nurl = 'https://x'\nheaders = ['X-A b']",
                "line 5: `headers` in [[notify.channel]]: `X-A b` is not `NAME: VALUE`",
            ),
            (
                "kind = 'webhook'\nurl = 'https://x'\nheaders = ['authorization: b']",
                "line 5: `headers` in [[notify.channel]]: a secret stands here: write where it is, as `authorization = { file = \"…\" }`",
            ),
            (
                "kind = 'webhook'\nurl = 'https://x'\ntemplate = 'telegram'",
                "line 1: [[notify.channel]] has no `chat`, which `template = \"telegram\"` needs",
            ),
            (
                "kind = 'webhook'\nurl = 'https://x'\nchat = '1'",
                "line 5: `chat` in [[notify.channel]]: only `template = \"telegram\"` has it",
            ),
            (
                "kind = 'smtp'\nhost = 'm'\nfrom = 'a'\nto = ['b@c']",
                "line 5: `from` in [[notify.channel]]: `a` is not an address such as `backup@example.org`",
            ),
            (
                "kind = 'smtp'\nhost = 'm'\nfrom = 'a@b'\nto = ['b@c', 'd e@f']",
                "line 6: `to` in [[notify.channel]]: `d e@f` is not an address such as `backup@example.org`",
            ),
            (
                "kind = 'smtp'\nhost = 'm'\nfrom = 'a@b'\nto = ['b@c']\nuser = 'u'",
                "line 7: `user` in [[notify.channel]] needs a `password`",
            ),
            (
                "kind = 'smtp'\nhost = 'm'\nfrom = 'a@b'\nto = ['b@c']\nuser = 'u'\npassword = { file = 'p' }\nsecurity = 'none'",
                "line 9: `security` in [[notify.channel]]: a password is not sent over a connection that anybody can read",
            ),
            (
                "kind = 'smtp'\nhost = 'm'\nfrom = 'a@b'\nto = ['b@c']\nport = 70000",
                "line 7: `port` in [[notify.channel]] is not a port",
            ),
            (
                "kind = 'command'\ncommand = ['']",
                "line 4: `command` in [[notify.channel]]: the first word is a program",
            ),
        ] {
            refuses(&channel(more), &[expected]);
        }
        let hidden = channel("kind = 'webhook'\nurl = { environment = 'HOOK' }");
        assert_eq!(decode(&hidden).unwrap().secrets().count(), 1);
    }

    #[test]
    fn every_level_has_a_channel_and_a_moment() {
        let at = |level: u32| {
            format!(
                "[[notify.channel]]\nname = 'c{level}'\nlevel = {level}\nkind = 'command'\ncommand = ['true']\n"
            )
        };
        let after = |list: &str| format!("[notify.escalation]\nafter = {list}\n");
        let whole = [at(1), at(2), after("['30min']")].concat();
        assert_eq!(decode(&whole).unwrap().escalation, [Duration::from_mins(30)]);
        refuses(
            &[at(1), at(2)].concat(),
            &[
                "line 8: `level` in [[notify.channel]]: `after` in [notify.escalation] does not say when level 2 is told: it has 0 of 1 entries",
            ],
        );
        refuses(
            &[at(1), after("['30min']")].concat(),
            &["line 7: [notify] tells nobody at level 2: no channel has it"],
        );
        refuses(
            &[at(1), at(2), at(3), after("['2h', '30min']")].concat(),
            &[
                "line 17: `after` in [notify.escalation]: `30min` is not longer than what stands before it",
            ],
        );
        refuses(
            &[at(1), at(1)].concat(),
            &["line 7: `name` in [[notify.channel]]: line 2 names a channel `c1`, too"],
        );
    }
}
