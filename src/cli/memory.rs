//! Owns how the process takes memory from the system.

/// Threads that need memory at the same moment take it from so many places.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: libc::c_int = 2;

/// Has threads share what the allocator holds. By itself, the GNU C library's gives each thread an arena of its own, which
/// keeps for that thread alone what it once needed: with two slots some 20 MB, on machines with more cores much more. No
/// thread here asks for memory so often that it had to wait. Before there are other threads.
///
/// `MALLOC_ARENA_MAX` in the environment has the last word.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library's settings have no safe form")]
pub fn share_arenas() {
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        // SAFETY: a setting of the allocator, which takes its own lock; it has no pointer and refuses what it does not know.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) };
    }
}

/// Other allocators keep little for a thread, or have no such setting.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn share_arenas() {}
