//! Any bytes taken for dumps of databases.
#![no_main]

use sbf_repo::testing::fuzz_decode::fuzz_dump;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_dump(bytes));
