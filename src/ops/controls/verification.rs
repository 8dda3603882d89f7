//! Is what is stored read again, all of it, in time?

use crate::format::coverage::CheckRecord;
use crate::ops::controls::Control;
use crate::ops::controls::asked::Answer;
use crate::ops::controls::asked::Asked;
use crate::ops::controls::asked::age_words;
use crate::ops::controls::asked::elapsed;
use crate::ops::controls::asked::limit_words;
use crate::ops::ledger::expected::seconds;
use crate::repo::attest::Attestation;

/// Everything was read in full within the time that the plan says.
///
/// And the newest check found nothing wrong. Checks read a share at a time, and what is new waits for its turn: as `status` does, up to a fifth of the bytes
/// may never have been read, and all of them while the oldest snapshot is younger than that time.
pub(super) fn verification(asked: &Asked<'_>) -> Control {
    let title = "everything that is stored was read in full in time";
    let mut answer = Answer::new("verification", title);
    let Some((limit, plan)) = asked.least(|plan| plan.read_seconds) else {
        return answer.not_applicable("no plan said within how long everything is read");
    };
    answer.parameter("within", limit_words(limit));
    answer.evidence(plan.key.as_str());
    let Some(state) = asked.state() else {
        answer.wrong("nobody saw near the end how much was read".to_owned(), None);
        return answer.end(String::new());
    };
    let key = Some(state.key.to_string());
    let said = &state.said;
    let Some(read) = said.read_bytes else {
        answer.wrong("nobody could tell how much was read".to_owned(), key);
        return answer.end(String::new());
    };
    if let Some(oldest) = &said.read_oldest {
        let age = elapsed(seconds(oldest), asked.until);
        if age > limit {
            let why = format!("some data was last read {} ago", age_words(age));
            answer.wrong(why, key.clone());
        }
    }
    if let Some(found) = newest_trouble(asked) {
        let words = format!("the newest check found {}", trouble_words(&found.said));
        answer.wrong(words, Some(found.key.to_string()));
    }
    let first = asked.ledger.snapshots.iter().map(|known| known.started).min();
    let is_old = first.is_some_and(|first| elapsed(first, asked.until) > limit);
    let unread = said.stored_bytes.saturating_sub(read);
    if is_old && unread.saturating_mul(UNREAD_SHARE) > said.stored_bytes {
        answer.wrong("more than a fifth of the data was never read in full".to_owned(), key);
    }
    answer.evidence(state.key.as_str());
    let checks = asked.ledger.checks.iter().rev();
    let made = checks.filter(|check| seconds(&check.said.time) <= asked.until);
    made.for_each(|check| answer.evidence(check.key.as_str()));
    let packs = said.read_packs.unwrap_or(0);
    answer.end(format!("{packs} of {} packs were read in full in time", said.packs))
}

/// The newest check until the end, if it found anything wrong.
fn newest_trouble<'a>(asked: &Asked<'a>) -> Option<&'a Attestation<CheckRecord>> {
    let mut checks = asked.ledger.checks.iter().rev();
    let newest = checks.find(|check| seconds(&check.said.finished) <= asked.until)?;
    (newest.said.findings > 0 || !newest.said.damaged.is_empty()).then_some(newest)
}

fn trouble_words(said: &CheckRecord) -> String {
    format!("{} things that are wrong and {} damaged packs", said.findings, said.damaged.len())
}

/// One part of so many may wait for its turn.
const UNREAD_SHARE: u64 = 5;
