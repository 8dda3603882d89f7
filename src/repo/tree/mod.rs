//! Trees: directories and contents as chunks. Spec: format-spec/07-tree.md.

pub(crate) mod builder;
pub(crate) mod content;
pub(crate) mod extents;
pub(crate) mod reader;
