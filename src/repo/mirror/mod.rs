//! Mirrors: copies of a whole repository, object by object. Spec: format-spec/15-mirror.md.
//!
//! The order of what is copied keeps the copy openable at every moment; the order of what is listed, the
//! copy first, keeps what others do meanwhile from looking like damage.

pub(crate) mod copier;
pub(crate) mod deletes;
pub(crate) mod error;
pub(crate) mod part;
pub(crate) mod place;
pub(crate) mod promote;
pub(crate) mod run;
pub(crate) mod sound;
pub(crate) mod state;
pub(crate) mod survey;
