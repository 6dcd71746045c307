#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| axum_device_sessions::fuzzing::cookie(bytes));
