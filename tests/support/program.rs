//! The program itself, run as its users run it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = env!("CARGO_BIN_EXE_sprachpost");
const START_LIMIT: Duration = Duration::from_mins(1);
/// A note in work is finished first.
const END_LIMIT: Duration = Duration::from_mins(2);

/// The program with a data folder of its own and the repository's models.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .current_dir(ROOT)
        .env_remove("SPRACHPOST_CONFIG")
        .env("SPRACHPOST__BROKER__URL", format!("embedded:{}", folder.join("queue.sqlite").display()))
        .env("SPRACHPOST__HTTP__LISTEN", "127.0.0.1:0")
        .env("SPRACHPOST__RECORDINGS__DIR", folder.join("spool"))
        .stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder).args(arguments).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A running `serve`; killed when dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: String,
    log: mpsc::Receiver<String>,
}

impl Server {
    /// Starts `serve` with these arguments and waits until it listens.
    pub fn start(mut command: Command, arguments: &[&str]) -> Self {
        let mut child = command.arg("serve").args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (lines, log) = mpsc::channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        let mut server = Self { child, address: String::new(), log };
        let line = server.wait_for_log("listening");
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON, since stderr is no terminal");
        line["address"].as_str().unwrap().clone_into(&mut server.address);
        server
    }

    /// The next line of its log that holds `text`.
    pub fn wait_for_log(&mut self, text: &str) -> String {
        let deadline = Instant::now() + START_LIMIT;
        let mut seen = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("no line with {text:?} in:\n{seen}"));
            if line.contains(text) {
                return line;
            }
            seen += &(line + "\n");
        }
    }

    /// What it logged since the last time that somebody asked.
    pub fn news(&mut self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end: the exit code and the rest of its log.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + END_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), self.log.iter().collect::<Vec<_>>().join("\n"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it did not end");
    }

    /// One HTTP request: status and body.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len().to_string();
        let fixed = [("Host", "test"), ("Connection", "close"), ("Content-Length", &length)];
        let lines: String =
            fixed.iter().chain(headers).flat_map(|(name, value)| [*name, ": ", *value, "\r\n"]).collect();
        stream.write_all(format!("{method} {path} HTTP/1.1\r\n{lines}\r\n").as_bytes()).unwrap();
        // A server that refuses may close before it has read everything; its answer is what counts.
        let _ = stream.write_all(body);
        let mut answer = vec![];
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"));
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
