//! Are the keys that sign renewed in time?

use crate::ops::controls::Control;
use crate::ops::controls::asked::Answer;
use crate::ops::controls::asked::Asked;
use crate::ops::controls::asked::age_words;
use crate::ops::controls::asked::elapsed;
use crate::ops::controls::asked::limit_words;
use crate::ops::ledger::KnownSigner;
use std::collections::BTreeMap;

/// The newest certificate of every key that may sign is not older than the plan says.
pub(super) fn key_age(asked: &Asked<'_>) -> Control {
    let mut answer = Answer::new("key-age", "keys that sign are not too old");
    let Some((limit, plan)) = asked.least(|plan| plan.key_seconds) else {
        return answer.not_applicable("no plan said how old a key may become");
    };
    answer.parameter("age", limit_words(limit));
    answer.evidence(plan.key.as_str());
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    let counts = |signer: &&KnownSigner| {
        signer.from <= asked.until && signer.until.is_none_or(|until| until >= asked.until)
    };
    for signer in asked.ledger.signers.iter().filter(counts) {
        // Certificates count from the beginning of all time, so that only their receipt says how old they are.
        let certified = signer.certified.unwrap_or(0).max(signer.from);
        let known = newest.entry(&signer.subject).or_insert(certified);
        *known = certified.max(*known);
    }
    // Those that came after the end are of another period.
    newest.retain(|_subject, certified| *certified <= asked.until);
    for (subject, certified) in &newest {
        let age = elapsed(*certified, asked.until);
        if *certified <= 0 {
            let why = format!("the store does not say when the key {subject} was certified");
            answer.wrong(why, None);
        } else if age > limit {
            let age = age_words(age);
            answer.wrong(format!("the key {subject} was certified {age} ago"), None);
        }
    }
    answer.end(format!("{} keys that may sign were certified in time", newest.len()))
}
