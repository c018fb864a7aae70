//! Owns a private Znuny on loopback: a real one, unpacked by `scripts/znuny`, behind an Apache of its own and on a
//! database of its own in the tests' PostgreSQL. Each test works in a queue of its own.
//!
//! It is there where `SPRACHPOST_ZNUNY` names its folder, which `make test-znuny` sees to. Tests that need it are
//! ignored otherwise, and say so.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    guarded::Guarded,
    postgres::{self, Database},
    runtime,
    ticketing::{Note, RealSystem},
};

const APACHE: &str = "/usr/sbin/apache2";
const MODULES: &str = "/usr/lib/apache2/modules";
const START_LIMIT: Duration = Duration::from_mins(1);

/// Dynamic fields of tickets.
pub const CONVERSATION_FIELD: &str = "VoiceConversation";
pub const TAGS_FIELD: &str = "VoiceTags";
pub const TEXT_TAGS_FIELD: &str = "VoiceTagsText";
/// A dynamic field of articles.
pub const ARTICLE_FIELD: &str = "VoiceArticle";
/// Passwords of all users.
const PASSWORD: &str = "nur-fuer-tests-1";
/// Whom tickets are opened for.
pub const CUSTOMER: &str = "voice-notes@tests.local";
/// Agents with every right, and those who lack one.
pub const AGENT: &str = "voicebot";
/// Sees tickets and opens them, and may not change them.
pub const OPENER: &str = "opener";
/// Sees tickets only.
pub const READER: &str = "reader";
const ADMINISTRATOR: &str = "administrator";
/// The web service as Znuny is shipped with it, and one without the operations that may be left out or forgotten.
pub const WEB_SERVICE: &str = "GenericTicketConnectorREST";
pub const BARE_WEB_SERVICE: &str = "Bare";

/// What every script begins with.
const PERL: &str = r#"
use strict; use warnings; use utf8;
use Kernel::System::ObjectManager;
local $Kernel::OM = Kernel::System::ObjectManager->new('Kernel::System::Log' => { LogPrefix => 'tests' });
sub of { return $Kernel::OM->Get("Kernel::System::$_[0]") }
sub made { my ($what, $done) = @_; $done or die "$what\n"; return $done }
"#;

/// Makes the web services, users and fields. Its queues answer customers by themselves wherever Znuny allows them to.
const PROVISION: &str = r#"
my ($home, $password) = @ARGV;
my $example = "$home/var/webservices/examples/GenericTicketConnectorREST.yml";
my $service = sub { of('YAML')->Load(Data => ${ of('Main')->FileRead(Location => $example) }) };
my $bare = $service->();
for my $operation ('TicketHistoryGet', 'TicketSearch') {
    delete $bare->{Provider}{Transport}{Config}{RouteOperationMapping}{$operation};
    delete $bare->{Provider}{Operation}{$operation};
}
for my $made (['GenericTicketConnectorREST', $service->()], ['Bare', $bare]) {
    made 'web service', of('GenericInterface::Webservice')
        ->WebserviceAdd(Name => $made->[0], Config => $made->[1], ValidID => 1, UserID => 1);
}
my $group = of('Group')->GroupLookup(Group => 'users');
my %rights = (administrator => { rw => 1 }, voicebot => { rw => 1 }, opener => { ro => 1, create => 1 },
              reader => { ro => 1 });
for my $login (sort keys %rights) {
    my $user = made 'user', of('User')->UserAdd(UserLogin => $login, UserFirstname => 'A', UserLastname => $login,
        UserPw => $password, UserEmail => "$login\@tests.local", ChangeUserID => 1, ValidID => 1);
    made 'right', of('Group')->PermissionGroupUserAdd(GID => $group, UID => $user, Permission => $rights{$login},
        UserID => 1);
}
my %tags = map { $_ => $_ } qw(voice ausfall agent);
for my $field (['VoiceConversation', 'Text', 'Ticket', { DefaultValue => '' }],
               ['VoiceTags', 'Multiselect', 'Ticket', { PossibleValues => \%tags, PossibleNone => 1 }],
               ['VoiceTagsText', 'Text', 'Ticket', { DefaultValue => '' }],
               ['VoiceArticle', 'Text', 'Article', { DefaultValue => '' }]) {
    made 'field', of('DynamicField')->DynamicFieldAdd(Name => $field->[0], Label => $field->[0], FieldOrder => 1,
        FieldType => $field->[1], ObjectType => $field->[2], Config => $field->[3], ValidID => 1, UserID => 1);
}
"#;

/// Makes a queue, whose automatic responses are all on.
const NEW_QUEUE: &str = r"
my $queue = made 'queue', of('Queue')->QueueAdd(Name => $ARGV[0], GroupID => of('Group')->GroupLookup(Group => 'users'),
    SystemAddressID => 1, SalutationID => 1, SignatureID => 1, FollowUpID => 1, FollowUpLock => 0, UnlockTimeout => 0,
    ValidID => 1, UserID => 1, Comment => 'tests');
my %responses = reverse of('AutoResponse')->AutoResponseList();
my @responses = grep { my %own = of('AutoResponse')->AutoResponseGet(ID => $_); $own{TypeID} != 5 } values %responses;
made 'responses', of('AutoResponse')->AutoResponseQueue(QueueID => $queue, AutoResponseIDs => \@responses, UserID => 1);
";

/// A Znuny. Everything of it is gone when the tests end.
pub struct Server {
    folder: PathBuf,
    port: u16,
    database: Database,
    // Removes the folder after its end.
    _process: Guarded,
}

/// The one that tests share.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(Server::start)
}

impl Server {
    fn start() -> Self {
        let unpacked = std::env::var_os("SPRACHPOST_ZNUNY");
        let unpacked = unpacked.expect("SPRACHPOST_ZNUNY names no Znuny: run `make test-znuny`, which unpacks one");
        assert!(Path::new(APACHE).exists(), "{APACHE} is not there: run `make test-znuny`, which installs it");
        let folder = tempfile::Builder::new().prefix("sprachpost-znuny-").tempdir().unwrap().keep();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let database = postgres::shared().new_database();
        let home = folder.join("home");
        run(Command::new("cp").arg("--recursive").arg(&unpacked).arg(&home));
        fs::write(home.join("Kernel/Config.pm"), configuration(&home, &database.url())).unwrap();
        fs::write(folder.join("apache.conf"), apache(&folder, port)).unwrap();
        if is_root() {
            run(Command::new("chown").args(["--recursive", "www-data:www-data"]).arg(&folder));
        }
        for file in ["schema", "initial_insert", "schema-post"] {
            let file = home.join(format!("scripts/database/{file}.postgresql.sql"));
            let sql = fs::read_to_string(file).unwrap();
            let database = &database;
            // From a thread of its own: it may be a test's runtime that got here first.
            thread::scope(|scope| scope.spawn(|| runtime().block_on(database.execute(&sql))).join().unwrap());
        }
        run(&mut as_server_user(&home, &["bin/otrs.Console.pl", "Maint::Config::Rebuild"].map(OsStr::new)));
        // `$0` has to be a file for Znuny's scripts to be found, so the name is given in full.
        let start =
            [OsStr::new(APACHE), OsStr::new("-f"), folder.join("apache.conf").as_os_str(), OsStr::new("-DFOREGROUND")]
                .map(OsStr::to_owned);
        let line: Vec<OsString> = server_user().into_iter().chain(start).collect();
        let process =
            Guarded::start(line.iter().map(OsString::as_os_str), &[], &folder.join("apache.log"), Some(&folder));
        let server = Self { folder, port, database, _process: process };
        server.perl(PROVISION, &[server.home().to_str().unwrap(), PASSWORD]);
        let deadline = Instant::now() + START_LIMIT;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "Znuny's Apache did not start:\n{}", server.log());
            thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    pub fn log(&self) -> String {
        ["apache.log", "error.log"].map(|log| fs::read_to_string(self.folder.join(log)).unwrap_or_default()).concat()
    }

    /// The requests that its Apache has seen, as web servers write them down.
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.folder.join("access.log")).unwrap()
    }

    /// Does what its interface cannot.
    fn perl(&self, script: &str, arguments: &[&str]) {
        let script = format!("{PERL}{script}");
        let arguments = arguments.iter().map(OsStr::new);
        let line: Vec<&OsStr> = [OsStr::new("-e"), OsStr::new(&script)].into_iter().chain(arguments).collect();
        run(&mut as_server_user(&self.home(), &line));
    }

    /// A file with the password of all users.
    pub fn password_file(&self) -> PathBuf {
        let file = self.folder.join("password");
        fs::write(&file, PASSWORD).unwrap();
        file
    }

    /// Deletes a ticket, as administrators do.
    pub fn delete(&self, ticket: &str) {
        self.perl("made 'deletion', of('Ticket')->TicketDelete(TicketID => $ARGV[0], UserID => 1);", &[ticket]);
    }

    /// Merges one ticket into another, as agents do.
    pub fn merge(&self, ticket: &str, into: &str) {
        let script = "made 'merge', of('Ticket')->TicketMerge(MergeTicketID => $ARGV[0], MainTicketID => $ARGV[1], UserID => 1);";
        self.perl(script, &[ticket, into]);
    }

    /// Has all sessions run out.
    pub async fn expire_sessions(&self) {
        self.database.execute("DELETE FROM sessions").await;
    }

    /// How many e-mails the tickets of a queue hold.
    pub async fn mails(&self, queue: &str) -> i64 {
        let sql = format!(
            "SELECT count(*) FROM article JOIN ticket ON ticket.id = ticket_id JOIN queue ON queue.id = queue_id \
             WHERE queue.name = '{queue}' \
             AND communication_channel_id = (SELECT id FROM communication_channel WHERE name = 'Email')"
        );
        self.database.count(&sql).await
    }

    /// Asks as an administrator, and expects that it succeeds.
    pub async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("{}/nph-genericinterface.pl/Webservice/{WEB_SERVICE}/{path}", self.url());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client
            .request(method.clone(), url)
            .header("x-otrs-header-userlogin", ADMINISTRATOR)
            .header("x-otrs-header-password", PASSWORD)
            .header("content-type", "application/json");
        let request = if method == Method::GET { request } else { request.body(body.to_string()) };
        let answer = request.send().await.unwrap();
        let (status, bytes) = (answer.status(), answer.bytes().await.unwrap());
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(status.is_success() && answer.get("Error").is_none(), "{path}: {status} {text}\n{}", self.log());
        answer
    }

    /// A ticket with its fields and all of its articles.
    pub async fn ticket(&self, id: &str) -> Value {
        let path = format!("Ticket/{id}?AllArticles=1&Attachments=1&DynamicFields=1");
        self.ask(Method::GET, &path, json!({})).await["Ticket"][0].take()
    }

    pub async fn change(&self, id: &str, changes: Value) {
        self.ask(Method::PATCH, &format!("Ticket/{id}"), json!({ "Ticket": changes })).await;
    }

    /// Opens a ticket, as agents do, and returns its id and its number.
    pub async fn open(&self, queue: &str) -> (String, String) {
        self.open_with(queue, "auto remove").await
    }

    /// Opens a ticket as if a customer had asked for it, so that the queue answers.
    pub async fn open_by_mail(&self, queue: &str) {
        self.open_with(queue, "auto reply").await;
    }

    async fn open_with(&self, queue: &str, response: &str) -> (String, String) {
        let ticket = json!({"Title": "by an agent", "Queue": queue, "State": "open", "Priority": "3 normal",
                            "CustomerUser": CUSTOMER});
        let article = json!({"Subject": "by an agent", "Body": "by an agent", "ContentType": "text/plain; charset=utf-8",
                             "AutoResponseType": response});
        let made = self.ask(Method::POST, "Ticket", json!({"Ticket": ticket, "Article": article})).await;
        (made["TicketID"].as_str().unwrap().to_owned(), made["TicketNumber"].as_str().unwrap().to_owned())
    }

    /// How many lines a ticket's history has.
    pub async fn history(&self, id: &str) -> usize {
        let history = self.ask(Method::GET, &format!("Ticket/History/{id}"), json!({})).await;
        history["TicketHistory"][0]["History"].as_array().unwrap().len()
    }
}

#[async_trait]
impl RealSystem for Server {
    fn port(&self) -> u16 {
        self.port
    }

    fn own_keys(&self, url: &str, queue: &str) -> String {
        format!(
            "type = \"znuny\"\nurl = \"{url}\"\nqueue = \"{queue}\"\nuser = \"{AGENT}\"\n\
             password = {{ file = \"{}\" }}\ncustomer_user = \"{CUSTOMER}\"\n\
             conversation_field = \"{CONVERSATION_FIELD}\"\ntags_field = \"{TAGS_FIELD}\"\nreminders = true\n",
            self.password_file().display()
        )
    }

    async fn new_queue(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("Voice {}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.perl(NEW_QUEUE, &[&name]);
        name
    }

    async fn tickets(&self, queue: &str) -> Vec<String> {
        let wanted = json!({"Queues": [queue], "SortBy": "Age", "OrderBy": "Up"});
        let found = self.ask(Method::POST, "Ticket/Search", wanted).await;
        let ids = found["TicketID"].as_array().cloned().unwrap_or_default();
        ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    async fn notes(&self, ticket: &str) -> Vec<Note> {
        let ticket = self.ticket(ticket).await;
        let articles = ticket["Article"].as_array().unwrap().iter();
        let notes = articles.filter(|article| article["Subject"].as_str().unwrap().contains("[vn:"));
        notes.map(note).collect()
    }
}

fn note(article: &Value) -> Note {
    assert_eq!(
        (article["CommunicationChannel"].as_str(), article["IsVisibleForCustomer"].as_i64()),
        (Some("Internal"), Some(0))
    );
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let files = article["Attachment"].as_array().into_iter().flatten();
    let file = |file: &Value| {
        (text(&file["Filename"]), text(&file["ContentType"]), BASE64.decode(text(&file["Content"])).unwrap())
    };
    Note { text: text(&article["Body"]), files: files.map(file).collect() }
}

/// Values of a dynamic field, as the ticket shows them.
pub fn value_of(ticket: &Value, field: &str) -> Value {
    let fields = ticket["DynamicField"].as_array().cloned().unwrap_or_default();
    fields.into_iter().find(|own| own["Name"] == field).map_or(Value::Null, |own| own["Value"].clone())
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// What runs a program as somebody who is not root: Apache's own user, whom every Debian has.
fn server_user() -> Vec<OsString> {
    let line = ["setpriv", "--clear-groups", "--reuid=www-data", "--regid=www-data"].map(OsString::from);
    if is_root() { line.into() } else { vec![] }
}

/// Perl with Znuny's own modules.
fn as_server_user(home: &Path, arguments: &[&OsStr]) -> Command {
    let mut line = server_user();
    line.push("perl".into());
    let mut command = Command::new(line.remove(0));
    command.args(line).arg("-I").arg(home).args(arguments).current_dir(home);
    command
}

fn configuration(home: &Path, database: &str) -> String {
    let database: url::Url = database.parse().unwrap();
    let (name, port) = (database.path().trim_start_matches('/'), database.port().unwrap());
    format!(
        "package Kernel::Config;\nuse strict; use warnings; use utf8;\n\
         sub Load {{\n    my $Self = shift;\n    $Self->{{Home}} = '{}';\n    $Self->{{SecureMode}} = 1;\n\
         \x20   $Self->{{Database}} = '{name}';\n    $Self->{{DatabaseHost}} = '127.0.0.1';\n\
         \x20   $Self->{{DatabaseUser}} = '{}';\n    $Self->{{DatabasePw}} = '{}';\n\
         \x20   $Self->{{DatabaseDSN}} = 'DBI:Pg:dbname={name};host=127.0.0.1;port={port};';\n\
         \x20   $Self->{{CheckMXRecord}} = 0;\n    $Self->{{SendmailModule}} = 'Kernel::System::Email::DoNotSendEmail';\n\
         \x20   return 1;\n}}\nuse Kernel::Config::Defaults;\nuse parent qw(Kernel::Config::Defaults);\n1;\n",
        home.display(),
        database.username(),
        database.password().unwrap(),
    )
}

fn apache(folder: &Path, port: u16) -> String {
    let (folder, home) = (folder.display(), folder.join("home"));
    let mut text = format!(
        "ServerRoot {folder}\nServerName 127.0.0.1\nListen 127.0.0.1:{port}\nPidFile {folder}/apache.pid\n\
         DefaultRuntimeDir {folder}\nMutex file:{folder} default\nErrorLog {folder}/error.log\n"
    );
    for module in ["mpm_prefork", "authz_core", "alias", "env", "mime", "dir", "perl"] {
        let _ = writeln!(text, "LoadModule {module}_module {MODULES}/mod_{module}.so");
    }
    let home = home.display();
    text + &format!(
        "LogFormat \"%r %>s\" requests\nCustomLog {folder}/access.log requests\nTypesConfig /etc/mime.types\n\
         StartServers 3\nMinSpareServers 2\nMaxSpareServers 4\nMaxRequestWorkers 6\nKeepAliveTimeout 2\n\
         ScriptAlias / \"{home}/bin/cgi-bin/\"\nPerlSwitches -I{home} -I{home}/Kernel/cpan-lib -I{home}/Custom\n\
         <Location />\nSetHandler perl-script\nPerlResponseHandler ModPerl::Registry\nOptions +ExecCGI\n\
         PerlOptions -ParseHeaders +SetupEnv\nRequire all granted\n</Location>\n"
    )
}
