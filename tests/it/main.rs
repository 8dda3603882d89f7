//! Integration tests, in one binary.

mod store_conformance;
mod store_posix;
mod store_power_loss;
