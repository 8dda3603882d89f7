//! Changes of the config, applied in order. Spec: format-spec/03-config.md, "Amendments".

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::config::Amendment;
use crate::format::config::Change;
use crate::format::config::Config;
use crate::format::envelope::ObjectKind;
use crate::format::layout;
use crate::id::Digest;
use crate::id::HistoryId;
use crate::repo::copies::read_or_copy;
use crate::repo::error::RepoError;
use crate::repo::objects;
use crate::repo::repository::verified_by_authority;
use crate::store::Store;
use std::collections::BTreeSet;

/// What amendments say beside the config, and what stands among them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Amended {
    /// The mirrors that were promoted, each by the BLAKE3 of its first note, and its history.
    pub(crate) promoted: Vec<(Digest, HistoryId)>,
    /// When the last of them was, in seconds since 1970.
    pub(crate) promoted_at: Option<i64>,
    /// The numbers of a mirror's notes.
    pub(crate) notes: BTreeSet<u32>,
}

/// Applies every amendment from number 1 to the first gap.
pub(crate) fn apply(store: &dyn Store, config: &mut Config) -> Result<Amended, RepoError> {
    let mut amended = Amended::default();
    let listed = store.list(layout::AMENDMENTS)?;
    let stored: BTreeSet<_> = listed.into_iter().map(|listed| listed.key).collect();
    amended.notes.extend(stored.iter().filter_map(|key| layout::parse_mirror_key(key).ok()));
    let keys = (1_u32..).map(|number| (number, layout::amendment_key(number)));
    for (number, key) in keys.take_while(|(_number, key)| stored.contains(key)) {
        let decode = |source| RepoError::Decode { key: key.to_string(), source };
        let amendment = read_or_copy(store, |store| {
            let length_max = u64::from(ObjectKind::Amendment.raw_bytes_max()) + 131_072;
            let bytes = store.read(&key, length_max)?;
            let signed = objects::open_clear(ObjectKind::Amendment, key.as_str(), &bytes)?;
            let body = verified_by_authority(signed, config.repository, &config.authority)?;
            let amendment = Amendment::decode(&body).map_err(decode)?;
            if amendment.number != number {
                return Err(decode(FormatError::new("amendment", Rule::RecordRange, 0)));
            }
            Ok(amendment)
        })?;
        for change in amendment.changes {
            if matches!(change, Change::Promote { .. }) {
                amended.promoted_at = Some(amendment.created);
            }
            apply_change(config, &mut amended, change);
        }
    }
    Ok(amended)
}

fn apply_change(config: &mut Config, amended: &mut Amended, change: Change) {
    match change {
        Change::Features(features) => config.features = features,
        Change::Profile(profile) => {
            config.profiles.retain(|known| known.name != profile.name);
            // The default one stays first, where those look who know no other.
            let place = if profile.name == "default" { 0 } else { config.profiles.len() };
            config.profiles.insert(place, profile);
        }
        Change::Limits(limits) => config.limits = limits,
        Change::Store(mode) => config.store = mode,
        // Copies are for commands that know other stores.
        Change::Copy { .. } => {}
        Change::Promote { history, mirror } => amended.promoted.push((mirror, history)),
    }
}
