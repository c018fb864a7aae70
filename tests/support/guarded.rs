//! Owns processes that must not outlive the tests, however these end.
//!
//! A shell stands between: it starts the process in a session of its own, waits until its standard input closes,
//! which the kernel sees to even when the test process is killed, and then kills the whole session.

use std::{
    ffi::OsStr,
    fs::File,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

const WATCHDOG: &str = r#"
clean_up=$1; signal=$2; shift 2
setsid "$@" </dev/null &
session=$!
read -r _
kill "-$signal" "-$session"
wait "$session" 2>/dev/null
for _ in 1 2 3 4 5; do [ -n "$clean_up" ] && ! rm -rf "$clean_up" && sleep 0.2; done
"#;

pub struct Guarded {
    shell: Child,
}

impl Guarded {
    /// Starts `command`; its output goes to `log`, and `clean_up` is a folder to remove after its end.
    pub fn start<'a>(
        command: impl IntoIterator<Item = &'a OsStr>,
        environment: &[(&str, String)],
        log: &Path,
        clean_up: Option<&Path>,
    ) -> Self {
        Self::start_ended_by("KILL", command, environment, log, clean_up)
    }

    /// The same for a program that has to put something away: it is ended by this signal.
    pub fn start_ended_by<'a>(
        signal: &str,
        command: impl IntoIterator<Item = &'a OsStr>,
        environment: &[(&str, String)],
        log: &Path,
        clean_up: Option<&Path>,
    ) -> Self {
        let log = File::create(log).unwrap();
        let shell = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(clean_up.unwrap_or(Path::new("")))
            .arg(signal)
            .args(command)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            // Out of reach of signals to the group of the tests, which would end the watchdog and leave what it guards.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("sh can be started");
        Self { shell }
    }

    /// Kills it, with signal 9 unless it was started otherwise, and waits for its end.
    pub fn kill(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().unwrap();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}
