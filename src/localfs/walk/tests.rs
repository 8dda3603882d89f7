//! Claims about the walk.
