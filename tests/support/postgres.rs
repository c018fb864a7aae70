//! Owns private PostgreSQL servers on loopback: real ones, from Debian's package, beside whatever server the machine
//! runs already.

use std::{
    ffi::{OsStr, OsString},
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio_postgres::NoTls;

use super::guarded::Guarded;

const START_LIMIT: Duration = Duration::from_mins(1);
const PASSWORD: &str = "nur-fuer-tests";

/// A server. Everything of it is gone when it is dropped, or when the tests end.
pub struct Server {
    folder: PathBuf,
    port: u16,
    running: Option<Guarded>,
    // Removes the folder after the server's end.
    _folder: Guarded,
}

/// The server that tests share, each with a database of its own.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(Server::start)
}

impl Server {
    /// Makes a cluster, starts its server and waits until it answers.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("sprachpost-postgres-").tempdir().unwrap().keep();
        // It does nothing, and when it ends with the tests the folder goes.
        let folder_guard =
            Guarded::start(["sleep", "infinity"].map(OsStr::new), &[], Path::new("/dev/null"), Some(&folder));
        let password = folder.join("password");
        fs::write(&password, PASSWORD).unwrap();
        if let Some(user) = server_user() {
            for path in [&folder, &password] {
                chown(path, Some(user.uid), Some(user.gid)).unwrap();
            }
        }
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let data = folder.join("data");
        let made = run_as_server_user(&[
            program("initdb").as_os_str(),
            OsStr::new("--pgdata"),
            data.as_os_str(),
            OsStr::new("--username=sprachpost"),
            OsStr::new("--auth=scram-sha-256"),
            OsStr::new("--pwfile"),
            password.as_os_str(),
            OsStr::new("--no-sync"),
            OsStr::new("--encoding=UTF8"),
            OsStr::new("--locale=C"),
        ]);
        let made = Command::new(&made[0]).args(&made[1..]).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nmax_connections = 100\n\
             shared_buffers = 16MB\ndynamic_shared_memory_type = mmap\nfsync = off\nlogging_collector = off\n"
        );
        append(&data.join("postgresql.conf"), &settings);
        let mut server = Self { folder, port, running: None, _folder: folder_guard };
        server.restart();
        server
    }

    /// Starts the server again on its data, and waits until it answers.
    pub fn restart(&mut self) {
        self.stop();
        let data = self.folder.join("data");
        let command = run_as_server_user(&[program("postgres").as_os_str(), OsStr::new("-D"), data.as_os_str()]);
        let log = self.folder.join("server.log");
        // An immediate shutdown, which leaves what a crash leaves, but no shared memory.
        let command = command.iter().map(OsString::as_os_str);
        self.running = Some(Guarded::start_ended_by("QUIT", command, &[], &log, None));
        let deadline = Instant::now() + START_LIMIT;
        while !self.answers() {
            assert!(Instant::now() < deadline, "PostgreSQL did not start: {}", fs::read_to_string(&log).unwrap());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// As if its machine had been reset.
    pub fn stop(&mut self) {
        drop(self.running.take());
    }

    fn answers(&self) -> bool {
        let ready = Command::new(program("pg_isready"))
            .args(["--quiet", "--host=127.0.0.1", "--port", &self.port.to_string()])
            .status();
        ready.is_ok_and(|status| status.success())
    }

    /// A database that nobody else uses.
    pub fn new_database(&self) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let database = Database { port: self.port, name: "postgres".to_owned() };
        database.execute_from_anywhere(&format!("CREATE DATABASE {name}"));
        Database { port: self.port, name }
    }

    /// Has it speak TLS, with a certificate for `localhost` that it signs itself. Returns the certificate's file.
    pub fn speak_tls(&mut self) -> PathBuf {
        let (data, certificate) = (self.folder.join("data"), self.folder.join("certificate.pem"));
        let (shared, key) = (data.join("server.crt"), data.join("server.key"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-out")
            .arg(&shared)
            .arg("-keyout")
            .arg(&key)
            .output()
            .expect("openssl can be started");
        assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        fs::copy(&shared, &certificate).unwrap();
        fs::set_permissions(&certificate, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some(user) = server_user() {
            for path in [&shared, &key] {
                chown(path, Some(user.uid), Some(user.gid)).unwrap();
            }
        }
        append(&data.join("postgresql.conf"), "ssl = on\n");
        self.restart();
        certificate
    }
}

/// A database of one test.
pub struct Database {
    port: u16,
    name: String,
}

impl Database {
    pub fn url(&self) -> String {
        self.url_of("sprachpost", PASSWORD)
    }

    pub fn url_of(&self, user: &str, password: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{}?sslmode=disable", self.port, self.name)
    }

    /// The address for an encrypted connection.
    pub fn tls_url(&self) -> String {
        format!("postgres://sprachpost:{PASSWORD}@localhost:{}/{}", self.port, self.name)
    }

    /// Connects as an operator would.
    pub async fn client(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub async fn execute(&self, sql: &str) {
        self.client().await.batch_execute(sql).await.unwrap();
    }

    /// One number.
    pub async fn count(&self, sql: &str) -> i64 {
        self.client().await.query_one(sql, &[]).await.unwrap().get(0)
    }

    fn execute_from_anywhere(&self, sql: &str) {
        let (url, sql) = (self.url(), sql.to_owned());
        let executing = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
                tokio::spawn(connection);
                client.batch_execute(&sql).await.unwrap();
            });
        });
        executing.join().unwrap();
    }
}

fn append(file: &Path, text: &str) {
    let content = fs::read_to_string(file).unwrap() + text;
    fs::write(file, content).unwrap();
}

/// Debian keeps them off the path, one folder a version.
fn program(name: &str) -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin").join(name)))
        })
        .filter(|(_, path)| path.exists())
        .collect();
    versions.sort();
    let newest = versions.pop().map(|(_, path)| path);
    newest.unwrap_or_else(|| panic!("PostgreSQL is not installed ({name}): run `make test`, which installs it"))
}

struct User {
    uid: u32,
    gid: u32,
}

/// PostgreSQL refuses to run as root. Whoever else runs the tests may run it, too.
fn server_user() -> Option<User> {
    let id = |arguments: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(arguments).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    (id(&["-u"]) == Some(0)).then(|| User {
        uid: id(&["-u", "postgres"]).expect("Debian's package makes the user"),
        gid: id(&["-g", "postgres"]).expect("and its group"),
    })
}

fn run_as_server_user(command: &[&OsStr]) -> Vec<OsString> {
    let mut line: Vec<OsString> = Vec::new();
    if let Some(User { uid, gid }) = server_user() {
        line.extend(["setpriv", "--clear-groups"].map(OsString::from));
        line.push(format!("--reuid={uid}").into());
        line.push(format!("--regid={gid}").into());
    }
    line.extend(command.iter().map(OsString::from));
    line
}
