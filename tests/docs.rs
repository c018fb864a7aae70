//! Every command in the documentation is run here, as it stands there.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use crate::support::{program, rabbitmq};

/// The address in the README, replaced by that of a broker of the tests' own.
const BROKER_IN_README: &str = "amqp://guest:guest@127.0.0.1:5672";

/// All pages that are written for people who use the program.
fn pages() -> Vec<String> {
    let read = |path: &str| fs::read_to_string(Path::new(program::ROOT).join(path)).unwrap();
    ["README.md", "docs/channels.md", "docs/tickets.md"].map(read).to_vec()
}

/// The `console` blocks: the lines that a reader types.
fn blocks(text: &str) -> Vec<Vec<&str>> {
    text.split("```console\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().lines().filter_map(|line| line.strip_prefix("$ ")).collect())
        .collect()
}

/// A folder in which a reader could stand: the repository's files, and room for data of its own.
fn stand_in_for_the_repository(folder: &Path) {
    for name in ["tests", "config", "models"] {
        symlink(Path::new(program::ROOT).join(name), folder.join(name)).unwrap();
    }
}

#[test]
fn every_command_of_the_documentation_works() {
    let pages = pages();
    let blocks: Vec<_> = pages.iter().flat_map(|page| blocks(page)).collect();
    assert!(blocks.len() >= 7, "commands stand in blocks marked `console`");
    for lines in blocks {
        let folder = tempfile::tempdir().unwrap();
        stand_in_for_the_repository(folder.path());
        let vhost = rabbitmq::shared().new_vhost();
        // What runs in the background needs a moment until it listens; `submit --wait` does not mind, everything else
        // here is independent of it. All of it ends with the block.
        let script = lines.join("\n").replace(BROKER_IN_README, &vhost.url());
        let script = format!("set -e\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n{script}\n");
        let program = Path::new(env!("CARGO_BIN_EXE_sprachpost")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let output = Command::new("bash")
            .args(["-c", &script])
            .current_dir(folder.path())
            .env("PATH", path)
            // Two of the README's blocks start a listener; the port in them may be taken on this machine.
            .env("SPRACHPOST__HTTP__LISTEN", "127.0.0.1:0")
            .output()
            .unwrap();
        let (out, err) = (program::stdout(&output), program::stderr(&output));
        assert!(output.status.success(), "{lines:#?}\n{out}\n{err}");
        assert!(!out.is_empty(), "{lines:#?} print nothing");
    }
}

#[test]
fn the_two_commands_of_the_readme_are_what_ci_runs() {
    let ci = fs::read_to_string(Path::new(program::ROOT).join(".ci/run")).unwrap();
    let readme = fs::read_to_string(Path::new(program::ROOT).join("README.md")).unwrap();
    for command in ["make demo", "make test"] {
        assert!(readme.contains(command) && ci.contains(command), "{command}");
    }
}

#[test]
fn the_configuration_in_the_documentation_is_a_valid_one() {
    let pages = pages();
    let blocks: Vec<&str> = pages
        .iter()
        .flat_map(|page| page.split("```toml\n").skip(1))
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 6, "settings stand in blocks marked `toml`");
    for toml in blocks {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sprachpost.toml");
        fs::write(&file, toml).unwrap();
        let output = program::run(folder.path(), &["config", "show", "--config", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", program::stderr(&output));
    }
}
