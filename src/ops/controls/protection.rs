//! Is what is stored safe from those who write it, and unreadable for those who keep it?

use crate::format::attest::state::StatedStore;
use crate::format::keyslot::Role;
use crate::format::layout;
use crate::ops::controls::Control;
use crate::ops::controls::asked::Answer;
use crate::ops::controls::asked::Asked;
use std::collections::BTreeMap;

/// The store keeps what is deleted, or nobody who made backups has a key that may delete.
pub(super) fn deletion(asked: &Asked<'_>) -> Control {
    let title = "whoever makes backups cannot delete them";
    let mut answer = Answer::new("deletion", title);
    let is_of_it = |time: i64| (asked.from..=asked.until).contains(&time);
    let made = asked.ledger.snapshots.iter().filter(|known| is_of_it(known.finished));
    let writers: BTreeMap<&str, String> =
        made.map(|known| (known.client.as_str(), known.evidence())).collect();
    if writers.is_empty() {
        return answer.not_applicable("nothing was backed up in the period");
    }
    answer.parameter("either", "the store keeps versions or locks objects".to_owned());
    answer.parameter("or", "no key that made a backup may forget or prune".to_owned());
    let state = asked.state();
    if let Some(state) = state
        && is_kept(&state.said.store)
    {
        answer.evidence(state.key.as_str());
        return answer.end(format!("the store ({}) keeps what is deleted", state.said.store.kind));
    }
    let signers = &asked.ledger.signers;
    for (client, evidence) in &writers {
        let roles = signers.iter().filter(|signer| signer.subject == *client);
        let role = roles.map(|signer| signer.role).find(|role| may_delete(*role));
        if let Some(role) = role {
            let word = role.word();
            let why = format!("the key {client}, which made backups, has the role {word}");
            answer.wrong(why, Some(evidence.clone()));
        }
        answer.evidence(evidence.as_str());
    }
    answer.end("no key that made a backup may forget or prune".to_owned())
}

const fn may_delete(role: Role) -> bool {
    match role {
        Role::Admin | Role::Pruner => true,
        Role::Writer | Role::Reader | Role::Auditor => false,
    }
}

fn is_kept(store: &StatedStore) -> bool {
    store.versions == Some(true) || store.locked_days.is_some_and(|days| days > 0)
}

/// A store of the repository or of a copy refuses to delete what is new.
pub(super) fn immutability(asked: &Asked<'_>) -> Control {
    let title = "some store refuses to delete what is new";
    let mut answer = Answer::new("immutability", title);
    let Some(state) = asked.state() else {
        if asked.plans.is_empty() {
            return answer.not_applicable("nothing was planned, and nobody looked");
        }
        answer.wrong("nobody saw near the end what the stores do".to_owned(), None);
        return answer.end(String::new());
    };
    let copies = state.said.copies.iter().map(|copy| (copy.name.as_str(), &copy.store));
    let stores: Vec<(&str, &StatedStore)> =
        std::iter::once(("repository", &state.said.store)).chain(copies).collect();
    if stores.iter().all(|(_name, store)| store.kind == "directory") {
        return answer
            .not_applicable("every store is a directory, which cannot lock what is in it");
    }
    answer.parameter("locked", "for a day or more".to_owned());
    let locked = stores.iter().filter_map(|(name, store)| {
        let days = store.locked_days.filter(|days| *days > 0)?;
        Some(format!("{name} for {days} days"))
    });
    let locked: Vec<String> = locked.collect();
    if locked.is_empty() {
        answer.wrong("no store locks what is new".to_owned(), Some(state.key.to_string()));
    }
    answer.evidence(state.key.as_str());
    answer.end(format!("new objects are locked: {}", locked.join(", ")))
}

/// Everything that is stored is sealed.
pub(super) fn encryption(asked: &Asked<'_>) -> Control {
    let mut answer = Answer::new("encryption", "everything that is stored is encrypted");
    let made = asked.ledger.snapshots.iter().filter(|known| known.finished <= asked.until);
    if made.count() == 0 {
        return answer.not_applicable("nothing was stored");
    }
    answer.evidence(layout::CONFIG);
    let Some(cipher) = asked.ledger.cipher else {
        answer.wrong("this program does not know the format".to_owned(), None);
        return answer.end(String::new());
    };
    answer.parameter("cipher", cipher.to_owned());
    answer.end("the repository's format has no object of content that is not sealed".to_owned())
}
