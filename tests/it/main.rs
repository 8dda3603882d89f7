//! Integration tests, in one binary.

mod architecture;
mod cli;
mod concurrent;
mod constants;
mod crash;
mod damage;
mod forged;
mod forget;
mod forget_program;
mod full_disk;
mod malicious;
mod malicious_target;
mod memory;
mod mutations;
mod races;
mod reader;
mod restore;
mod retention;
mod scratch;
mod snapshot;
mod store_conformance;
mod store_posix;
mod store_power_loss;
mod support;
mod vector_file;
mod vectors;
