#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nilometer_fuzz::run("key_value", data));
