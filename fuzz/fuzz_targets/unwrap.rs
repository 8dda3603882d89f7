//! Any bytes taken for a stream of gzip that is unwrapped.
#![no_main]

use sbf_repo::testing::recipes::fuzz_unwrap;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_unwrap(bytes));
