//! The report of a period: its numbers, and the page, the table and the words that are made of them.
//! Invariant: pure; nothing is read but the numbers, so that the same numbers give the same bytes.

pub(crate) mod csv;
pub(crate) mod evidence;
pub(crate) mod model;
pub(crate) mod moment;
pub(crate) mod page;
pub(crate) mod rows;
mod svg;
pub(crate) mod text;
pub(crate) mod words;
