//! Any bytes taken for sidecars.
#![no_main]

use sbf_repo::testing::fuzz_decode::Input;
use sbf_repo::testing::fuzz_decode::fuzz_decode;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_decode(Input::Parity, bytes));
