//! Where any bytes are cut, against the rule of the page.
#![no_main]

use sbf_repo::testing::fuzz_decode::fuzz_chunk_cuts;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_chunk_cuts(bytes));
