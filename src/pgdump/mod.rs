//! What a plain dump of `PostgreSQL` says, read while it passes: versions, rows of each table, whether
//! it is whole. Invariant: pure, and no input makes it keep more than a constant.

mod lexer;
pub(crate) mod rows;
mod statements;

pub(crate) use lexer::DumpParser;
pub(crate) use statements::DumpSummary;
pub(crate) use statements::TableSum;
