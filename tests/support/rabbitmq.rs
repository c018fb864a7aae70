//! Owns private RabbitMQ nodes on loopback: real ones, from Debian's package, without systemd and beside whatever
//! node the machine runs already.

use std::{
    ffi::OsStr,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::guarded::Guarded;

/// Not the one on the path: that changes the user and writes to /var.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";
const START_LIMIT: Duration = Duration::from_secs(90);
/// Far below the default, so that a message over the broker's limit is a small one.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// A node and its name service. Everything of it is gone when it is dropped, or when the tests end.
pub struct Node {
    folder: PathBuf,
    ports: Ports,
    server: Option<Guarded>,
    // After the server: the node leaves its name service before that goes.
    _name_service: Guarded,
}

#[derive(Clone, Copy)]
struct Ports {
    amqp: u16,
    distribution: u16,
    management: u16,
    name_service: u16,
}

/// The node that tests share, each in a virtual host of its own.
pub fn shared() -> &'static Node {
    static SHARED: OnceLock<Node> = OnceLock::new();
    SHARED.get_or_init(Node::start)
}

impl Node {
    /// Starts a node and waits until it answers.
    pub fn start() -> Self {
        assert!(Path::new(SERVER).exists(), "RabbitMQ is not installed: run `make test`, which installs it");
        let folder = tempfile::Builder::new().prefix("sprachpost-rabbitmq-").tempdir().unwrap().keep();
        let ports = Ports::free();
        for part in ["home", "mnesia", "log", "schema"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        write_cookie(&folder.join("home/.erlang.cookie"));
        fs::write(folder.join("enabled_plugins"), "[rabbitmq_management].").unwrap();
        fs::write(folder.join("rabbitmq.conf"), ports.configuration()).unwrap();
        let name_service = Guarded::start(
            ["epmd", "-port", &ports.name_service.to_string(), "-address", "127.0.0.1"].map(OsStr::new),
            &[],
            &folder.join("epmd.log"),
            Some(&folder),
        );
        let mut node = Self { folder, ports, server: None, _name_service: name_service };
        node.restart();
        node
    }

    /// Starts the node again on its data, and waits until it answers.
    pub fn restart(&mut self) {
        self.kill();
        let environment = self.environment();
        let log = self.folder.join("server.log");
        self.server = Some(Guarded::start([OsStr::new(SERVER)], &environment, &log, None));
        let deadline = Instant::now() + START_LIMIT;
        while !matches!(self.try_request("GET", "/api/overview", ""), Some(answer) if answer.starts_with("HTTP/1.1 200"))
        {
            assert!(
                Instant::now() < deadline,
                "RabbitMQ did not start: {}",
                fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// As if the machine lost its power.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
    }

    /// The address of a virtual host that nobody else uses.
    pub fn new_vhost(&self) -> Vhost<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.request("PUT", &format!("/api/vhosts/{name}"), "{}");
        let everything = r#"{"configure": ".*", "write": ".*", "read": ".*"}"#;
        self.request("PUT", &format!("/api/permissions/{name}/guest"), everything);
        Vhost { node: self, name }
    }

    /// Sends a request to the management interface and expects that it succeeds.
    fn request(&self, method: &str, path: &str, body: &str) -> String {
        let answer = self.try_request(method, path, body).expect("RabbitMQ's management interface answers");
        assert!(answer.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        answer
    }

    fn try_request(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports.management)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        let (credentials, length) = (STANDARD.encode("guest:guest"), body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {credentials}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Runs the node's command line tool.
    pub fn control(&self, arguments: &[&str]) {
        let output = Command::new(CONTROL)
            .arg("--node")
            .arg(self.name())
            .args(arguments)
            .envs(self.environment())
            .output()
            .expect("rabbitmqctl can be started");
        assert!(output.status.success(), "rabbitmqctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn name(&self) -> String {
        format!("test{}@localhost", self.ports.amqp)
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let in_folder = |part: &str| self.folder.join(part).display().to_string();
        vec![
            ("HOME", in_folder("home")),
            ("ERL_EPMD_PORT", self.ports.name_service.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODENAME", self.name()),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODE_PORT", self.ports.amqp.to_string()),
            ("RABBITMQ_DIST_PORT", self.ports.distribution.to_string()),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("RABBITMQ_CONFIG_FILE", in_folder("rabbitmq.conf")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", in_folder("advanced.config")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", in_folder("enabled_plugins")),
            ("RABBITMQ_FEATURE_FLAGS_FILE", in_folder("feature_flags")),
            ("RABBITMQ_GENERATED_CONFIG_DIR", in_folder("generated")),
            ("RABBITMQ_LOG_BASE", in_folder("log")),
            ("RABBITMQ_MNESIA_BASE", in_folder("mnesia")),
            ("RABBITMQ_MNESIA_DIR", in_folder("mnesia/data")),
            ("RABBITMQ_PID_FILE", in_folder("pid")),
            ("RABBITMQ_SCHEMA_DIR", in_folder("schema")),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none".to_owned(),
            ),
        ]
    }
}

impl Ports {
    /// Free just now; held open together, so that they differ.
    fn free() -> Self {
        let listeners: [TcpListener; 4] = std::array::from_fn(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap());
        let [amqp, distribution, management, name_service] =
            listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        Self { amqp, distribution, management, name_service }
    }

    fn configuration(self) -> String {
        let Self { amqp, management, .. } = self;
        format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management}\n\
             vm_memory_high_watermark.absolute = 1GB\n\
             disk_free_limit.absolute = 50MB\n\
             max_message_size = {MESSAGE_BYTES_MAX}\n"
        )
    }
}

/// Erlang refuses a cookie that others may read.
fn write_cookie(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, "LOOPBACKONLY").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o400)).unwrap();
}

/// A virtual host of one test.
pub struct Vhost<'a> {
    node: &'a Node,
    name: String,
}

impl Vhost<'_> {
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{}", self.node.ports.amqp, self.name)
    }

    /// Deletes a queue as an operator would.
    pub fn delete_queue(&self, queue: &str) {
        self.node.request("DELETE", &format!("/api/queues/{}/{queue}", self.name), "");
    }

    /// Has the broker close every connection to this virtual host, as an operator would.
    pub fn close_connections(&self) {
        self.node.control(&["close_all_connections", "--vhost", &self.name, "for a test"]);
    }
}
