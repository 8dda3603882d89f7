//! Credentials of S3: from which source they come, and how they are got and renewed.
//! Invariant: the first source that is set up counts; one that fails never gives way to another,
//! and no secret gets into words.

pub(crate) mod chain;
pub(crate) mod error;
pub(crate) mod of_profile;
pub(crate) mod profiles;
pub(crate) mod provider;
pub(crate) mod requests;
mod services;
pub(crate) mod source;
mod sso;
mod sts;
