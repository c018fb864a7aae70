//! Owns the only unsafe code of this program: callbacks that whisper.cpp calls while it computes.
//!
//! whisper-rs 0.16 has a safe setter for the abort callback, but its trampoline reinterprets the closure as another
//! type and leaks it; so the raw setter is used here, with a lifetime that the borrow checker sees.
#![expect(unsafe_code, reason = "C callbacks have no safe form in whisper-rs; this module keeps them together")]

use std::ffi::c_void;

use whisper_rs::{FullParams, WhisperError, WhisperState, whisper_rs_sys as sys};

use crate::asr::Limit;

/// Runs `whisper_full`, giving up when `limit` is over.
pub fn full_within(
    state: &mut WhisperState,
    mut params: FullParams<'_, '_>,
    samples: &[f32],
    limit: &Limit,
) -> Result<(), WhisperError> {
    let user_data = std::ptr::from_ref(limit).cast_mut().cast::<c_void>();
    // SAFETY: `is_over` reads `user_data` as the `Limit` that it is. whisper.cpp calls it only during `full` below,
    // during which `limit` is borrowed; from several threads at once, which a shared `Limit` allows.
    unsafe {
        params.set_abort_callback(Some(is_over));
        params.set_abort_callback_user_data(user_data);
    }
    state.full(params, samples)
}

/// Computes the mel spectrogram of `samples` and sets the encoder's context in `state`, and stops before encoding.
/// `whisper_pcm_to_mel` would do the first without the second.
pub fn mel_only(state: &mut WhisperState, mut params: FullParams<'_, '_>, samples: &[f32]) -> Result<(), WhisperError> {
    // SAFETY: the callback is a function without captures and ignores its arguments.
    unsafe { params.set_start_encoder_callback(Some(stop)) };
    state.full(params, samples)
}

unsafe extern "C" fn is_over(user_data: *mut c_void) -> bool {
    // SAFETY: see `full_within`, the only one who registers this function.
    unsafe { &*user_data.cast::<Limit>() }.is_over()
}

unsafe extern "C" fn stop(_: *mut sys::whisper_context, _: *mut sys::whisper_state, _: *mut c_void) -> bool {
    false
}
