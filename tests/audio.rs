//! Audio as it comes: every clip of `tests/clips/`, damaged ones, and sources that misbehave.
//!
//! With `SPRACHPOST_EVAL_DIR` set, the clips of that folder are decoded too.

mod decoding;
mod fetching;
