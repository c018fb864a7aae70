//! Owns what the kernel says about this process, on Linux: processor time, memory, file descriptors, threads.

use std::{fs, io, time::Duration};

use serde::Serialize;

/// The unit of processor times in /proc, the same on all common platforms.
const TICKS_PER_S: f64 = 100.0;

/// What the process holds at one moment.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Holdings {
    /// Resident memory.
    pub memory_bytes: u64,
    pub file_descriptors: u64,
    pub threads: u64,
}

impl Holdings {
    pub(super) fn read() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        Ok(Self {
            memory_bytes: number(&status, "VmRSS")? * 1024,
            // The one that reads the folder is among them, every time.
            file_descriptors: fs::read_dir("/proc/self/fd")?.count() as u64,
            threads: number(&status, "Threads")?,
        })
    }

    /// The larger of each.
    pub(super) fn most(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            file_descriptors: self.file_descriptors.max(other.file_descriptors),
            threads: self.threads.max(other.threads),
        }
    }

    /// Whether none of it is more than `growth` above `base`.
    pub(super) fn within(self, base: Self, growth: Self) -> bool {
        self.memory_bytes <= base.memory_bytes + growth.memory_bytes
            && self.file_descriptors <= base.file_descriptors + growth.file_descriptors
            && self.threads <= base.threads + growth.threads
    }
}

/// The most resident memory that the process held so far.
pub(super) fn memory_bytes_max() -> io::Result<u64> {
    Ok(number(&fs::read_to_string("/proc/self/status")?, "VmHWM")? * 1024)
}

/// A line of a status, `name: number unit`.
fn number(status: &str, name: &str) -> io::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, name.to_owned()))
}

/// The processor time that the process has used so far, in user mode and in the kernel.
pub(super) fn processor_time() -> io::Result<Duration> {
    time_in("/proc/self/stat")
}

/// That of the thread that asks. To a hundredth of a second, but without a drift: sums of differences are right.
pub(super) fn processor_time_of_thread() -> io::Result<Duration> {
    time_in("/proc/thread-self/stat")
}

fn time_in(stat: &str) -> io::Result<Duration> {
    // The second field is the program's name in parentheses, which may hold anything.
    const USER_AND_SYSTEM: std::ops::Range<usize> = 11..13;
    let stat = fs::read_to_string(stat)?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let times = fields.get(USER_AND_SYSTEM).unwrap_or_default();
    let ticks: Option<u64> = times.iter().map(|field| field.parse::<u64>().ok()).sum();
    let ticks = ticks.filter(|_| times.len() == 2).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Duration::from_secs_f64(ticks as f64 / TICKS_PER_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_and_a_thread_are_seen_and_time_passes() {
        let before = Holdings::read().unwrap();
        let file = fs::File::open("/proc/self/stat").unwrap();
        let with_file = Holdings::read().unwrap();
        assert!(before.memory_bytes > 100_000 && before.threads >= 1, "{before:?}");
        assert!(with_file.file_descriptors > 0, "{with_file:?}");
        drop(file);
        let begun = processor_time().unwrap();
        while processor_time().unwrap() < begun + Duration::from_millis(30) {
            std::hint::black_box((0..10_000).sum::<u64>());
        }
    }
}
