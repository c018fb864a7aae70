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
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::guarded::Guarded;

/// Not the one on the path: that changes the user and writes to /var.
const PACKAGED: &str = "/usr/lib/rabbitmq/bin";
const START_LIMIT: Duration = Duration::from_secs(90);
/// Far below the default, so that a message over the broker's limit is a small one.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// A note on its way from a retry queue to its lane when the lane's leader dies is moved again after this limit. Three
/// minutes are the default, and too long to wait for in a test.
const ADVANCED: &str = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 5000}]}].";

/// A node and its name service. Everything of it is gone when it is dropped, or when the tests end.
pub struct Node {
    folder: PathBuf,
    ports: Ports,
    server: Option<Guarded>,
    // After the server: the node leaves its name service before that goes.
    name_service: Arc<NameService>,
}

/// What the nodes of a cluster find each other by.
struct NameService {
    port: u16,
    /// Of the nodes' folders.
    folder: PathBuf,
    _process: Guarded,
}

#[derive(Clone, Copy)]
struct Ports {
    amqp: u16,
    distribution: u16,
    management: u16,
}

/// One of RabbitMQ's programs: of the system's package, or of the installation whose programs are in the folder
/// `SPRACHPOST_RABBITMQ`.
fn program(name: &str) -> PathBuf {
    std::env::var_os("SPRACHPOST_RABBITMQ").map_or_else(|| PACKAGED.into(), PathBuf::from).join(name)
}

/// The node that tests share, each in a virtual host of its own.
pub fn shared() -> &'static Node {
    static SHARED: OnceLock<Node> = OnceLock::new();
    SHARED.get_or_init(Node::start)
}

/// Held by a test that has nodes of its own, so that no more of them run at a time than the memory has room for.
pub fn nodes_of_its_own() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

impl NameService {
    fn start() -> Arc<Self> {
        let server = program("rabbitmq-server");
        assert!(server.exists(), "{} is not there: run `make test`, which installs RabbitMQ", server.display());
        let folder = tempfile::Builder::new().prefix("sprachpost-rabbitmq-").tempdir().unwrap().keep();
        let [port] = free_ports();
        let process = Guarded::start(
            ["epmd", "-port", &port.to_string(), "-address", "127.0.0.1"].map(OsStr::new),
            &[],
            &folder.join("epmd.log"),
            Some(&folder),
        );
        Arc::new(Self { port, folder, _process: process })
    }
}

impl Node {
    /// Starts a node and waits until it answers.
    pub fn start() -> Self {
        let mut node = Self::new(&NameService::start(), Ports::free(), &[]);
        node.restart();
        node
    }

    /// Starts three nodes that form a cluster, and waits until they have.
    pub fn start_cluster() -> [Self; 3] {
        let name_service = NameService::start();
        let ports: [Ports; 3] = std::array::from_fn(|_| Ports::free());
        let mut nodes = ports.map(|own| Self::new(&name_service, own, &ports));
        nodes.iter_mut().for_each(Self::launch);
        nodes.iter().for_each(Self::wait);
        let deadline = Instant::now() + START_LIMIT;
        while nodes.iter().any(|node| node.running_members() < 3) {
            assert!(Instant::now() < deadline, "the nodes did not form a cluster");
            thread::sleep(Duration::from_millis(200));
        }
        nodes
    }

    fn new(name_service: &Arc<NameService>, ports: Ports, cluster: &[Ports]) -> Self {
        let folder = name_service.folder.join(ports.amqp.to_string());
        for part in ["home", "mnesia", "log", "schema"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        write_cookie(&folder.join("home/.erlang.cookie"));
        fs::write(folder.join("enabled_plugins"), "[rabbitmq_management].").unwrap();
        fs::write(folder.join("rabbitmq.conf"), ports.configuration(cluster)).unwrap();
        fs::write(folder.join("advanced.config"), ADVANCED).unwrap();
        Self { folder, ports, server: None, name_service: Arc::clone(name_service) }
    }

    /// Starts the node again on its data, and waits until it answers.
    pub fn restart(&mut self) {
        self.launch();
        self.wait();
    }

    /// Starts the node again on its data.
    pub fn launch(&mut self) {
        self.kill();
        let environment = self.environment();
        let log = self.folder.join("server.log");
        self.server = Some(Guarded::start([program("rabbitmq-server").as_os_str()], &environment, &log, None));
    }

    /// Waits until the node answers.
    pub fn wait(&self) {
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

    /// Suspends the node, or lets it go on: it neither answers nor closes anything meanwhile.
    pub fn suspend(&self, suspended: bool) {
        let pid = fs::read_to_string(self.folder.join("pid")).unwrap();
        let signal = if suspended { "STOP" } else { "CONT" };
        assert!(Command::new("kill").args(["-s", signal, pid.trim()]).status().unwrap().success());
    }

    pub fn amqp_port(&self) -> u16 {
        self.ports.amqp
    }

    fn running_members(&self) -> usize {
        let answer = self.try_request("GET", "/api/nodes?columns=running", "").unwrap_or_default();
        answer.matches("\"running\":true").count()
    }

    /// The address of a virtual host that nobody else uses.
    pub fn new_vhost(&self) -> Vhost<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.request("PUT", &format!("/api/vhosts/{name}"), "{}");
        let vhost = self.vhost(&name);
        vhost.allow_reading(true);
        vhost
    }

    /// A virtual host that was made before.
    pub fn vhost(&self, name: &str) -> Vhost<'_> {
        Vhost { node: self, name: name.to_owned() }
    }

    /// Sends a request to the management interface and expects that it succeeds.
    fn request(&self, method: &str, path: &str, body: &str) -> String {
        let deadline = Instant::now() + START_LIMIT;
        let answer = loop {
            // A node that has just started, on a machine that has other things to do, may take its time.
            if let Some(answer) = self.try_request(method, path, body).filter(|answer| !answer.is_empty()) {
                break answer;
            }
            assert!(Instant::now() < deadline, "{method} {path}: RabbitMQ's management interface does not answer");
            thread::sleep(Duration::from_millis(200));
        };
        assert!(answer.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        answer
    }

    /// The version that it says it has.
    pub fn version(&self) -> String {
        let overview = self.request("GET", "/api/overview", "");
        let (_, after) = overview.split_once("\"rabbitmq_version\":\"").expect("RabbitMQ tells its version");
        after.split('"').next().unwrap_or_default().to_owned()
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
        let output = Command::new(program("rabbitmqctl"))
            .arg("--node")
            .arg(self.ports.name())
            .args(arguments)
            .envs(self.environment())
            .output()
            .expect("rabbitmqctl can be started");
        assert!(output.status.success(), "rabbitmqctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let in_folder = |part: &str| self.folder.join(part).display().to_string();
        vec![
            ("HOME", in_folder("home")),
            ("ERL_EPMD_PORT", self.name_service.port.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODENAME", self.ports.name()),
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
    fn free() -> Self {
        let [amqp, distribution, management] = free_ports();
        Self { amqp, distribution, management }
    }

    fn name(self) -> String {
        format!("test{}@localhost", self.amqp)
    }

    fn configuration(self, cluster: &[Self]) -> String {
        let Self { amqp, management, .. } = self;
        let own = format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management}\n\
             vm_memory_high_watermark.absolute = 1GB\n\
             disk_free_limit.absolute = 50MB\n\
             max_message_size = {MESSAGE_BYTES_MAX}\n"
        );
        if cluster.is_empty() {
            return own;
        }
        let members = (1..).zip(cluster).map(|(number, member)| {
            let name = member.name();
            format!("cluster_formation.classic_config.nodes.{number} = {name}\n")
        });
        let size = cluster.len();
        let formation = format!(
            "cluster_formation.peer_discovery_backend = classic_config\n\
             cluster_formation.target_cluster_size_hint = {size}\n"
        );
        own + &formation + &members.collect::<String>()
    }
}

/// Free just now; held open together, so that they differ.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let listeners: [TcpListener; COUNT] = std::array::from_fn(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.each_ref().map(|listener| listener.local_addr().unwrap().port())
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

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this node leads a queue.
    pub fn leads(&self, queue: &str) -> bool {
        let answer = self.node.request("GET", &format!("/api/queues/{}/{queue}?columns=leader", self.name), "");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer has a body");
        let queue: serde_json::Value = serde_json::from_str(body).unwrap();
        queue["leader"].as_str().expect("a quorum queue has a leader") == self.node.ports.name()
    }

    /// Replaces the exchange of results by one that drops what nobody has bound, as a careless operator might.
    pub fn replace_results_exchange(&self) {
        let path = format!("/api/exchanges/{}/sprachpost.results", self.name);
        self.node.request("DELETE", &path, "");
        self.node.request("PUT", &path, r#"{"type": "topic", "durable": true}"#);
    }

    /// Grants everything, or everything but to read from queues and exchanges.
    pub fn allow_reading(&self, allowed: bool) {
        let read = if allowed { ".*" } else { "^$" };
        let permissions = format!(r#"{{"configure": ".*", "write": ".*", "read": "{read}"}}"#);
        self.node.request("PUT", &format!("/api/permissions/{}/guest", self.name), &permissions);
    }

    pub fn is_consumed(&self, queue: &str) -> bool {
        let answer = self.node.request("GET", &format!("/api/consumers/{}", self.name), "");
        answer.contains(&format!("\"{queue}\""))
    }

    /// Deletes a queue as an operator would: one that has a consumer already. RabbitMQ 3.10 starts to serve a quorum
    /// queue's dead letters a moment after the queue; if this is gone by then, the node serves none of any queue again.
    pub fn delete_queue(&self, queue: &str) {
        self.node.request("DELETE", &format!("/api/queues/{}/{queue}", self.name), "");
    }

    /// Has the broker close every connection to this virtual host, as an operator would.
    pub fn close_connections(&self) {
        self.node.control(&["close_all_connections", "--vhost", &self.name, "for a test"]);
    }
}
