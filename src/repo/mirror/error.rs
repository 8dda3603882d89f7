//! Why a place is not mirrored into, or not written to. Spec: format-spec/15-mirror.md.

/// A mirror is not to be used so.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// Something was to be written to a mirror that was not promoted.
    #[error("{location} is a mirror, and nobody may write to it but `mirror`")]
    ReadOnly {
        /// The mirror.
        location: String,
    },
    /// A place that was to be a mirror is a repository of its own.
    #[error("{location} is no mirror but a repository of its own")]
    NotAMirror {
        /// The place.
        location: String,
    },
    /// A mirror was promoted, and has a history of its own since.
    #[error("{location} was promoted: it has a history of its own since")]
    Promoted {
        /// The place.
        location: String,
    },
    /// A place that was to be a mirror holds another repository.
    #[error("{location} holds another repository")]
    OtherRepository {
        /// The place.
        location: String,
    },
    /// A mirror has what its source no longer has and no collection deleted.
    #[error("the repository went back: its mirror in {location} has `{key}`, which it lacks")]
    WentBack {
        /// The object.
        key: String,
        /// The mirror.
        location: String,
    },
    /// A repository and its mirror have two bodies of one key that are both authentic.
    #[error("`{key}` is another in {location} than in the repository, and both are authentic")]
    TwoBodies {
        /// The object.
        key: String,
        /// The mirror.
        location: String,
    },
}
