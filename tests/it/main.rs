//! Integration tests, in one binary.

mod architecture;
mod store_conformance;
mod store_posix;
mod store_power_loss;
