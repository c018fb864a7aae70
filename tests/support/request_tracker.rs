//! Owns a private Request Tracker on loopback: a real one, from Debian's packages, on a SQLite file of its own. Each
//! test works in a queue of its own.

use std::{
    ffi::OsStr,
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
    ticketing::{Note, RealSystem},
};

const SERVER: &str = "/usr/share/request-tracker5/libexec/rt-server";
const SET_UP_DATABASE: &str = "/usr/sbin/rt-setup-database-5";
const START_LIMIT: Duration = Duration::from_mins(2);

/// Fields of tickets, there for every queue.
pub const CONVERSATION_FIELD: &str = "VoiceConversation";
pub const TAGS_FIELD: &str = "VoiceTags";

/// Makes fields and users, and prints each user's name and token. RT's own interface cannot grant rights.
const PROVISION: &str = r#"
use lib '/usr/share/request-tracker5/lib', '/usr/local/share/request-tracker5/lib';
use RT -init; use RT::AuthToken;
for my $field (['VoiceConversation', 'FreeformSingle'], ['VoiceTags', 'FreeformMultiple']) {
    my $cf = RT::CustomField->new(RT->SystemUser);
    $cf->Create(Name => $field->[0], Type => $field->[1], LookupType => 'RT::Queue-RT::Ticket');
    $cf->AddToObject(RT::Queue->new(RT->SystemUser));
}
my @rights = qw(SeeQueue ShowTicket ShowTicketComments CreateTicket ReplyToTicket CommentOnTicket ModifyTicket OwnTicket
                SeeCustomField ModifyCustomField);
my $root = RT::User->new(RT->SystemUser);
$root->Load('root');
print 'root ', token_of($root), "\n";
my %lacks = (voicebot => '', mute => 'CommentOnTicket ModifyTicket', blind => 'ShowTicketComments', fixed => 'ModifyTicket');
for my $name (sort keys %lacks) {
    my $user = RT::User->new(RT->SystemUser);
    $user->Create(Name => $name, EmailAddress => "$name\@tests.local", Privileged => 1);
    $user->PrincipalObj->GrantRight(Right => $_, Object => $RT::System)
        for grep { $lacks{$name} !~ /\b$_\b/ } @rights;
    print "$name ", token_of($user), "\n";
}
sub token_of {
    my ($ok, $message, $token) = RT::AuthToken->new(RT->SystemUser)->Create(Owner => $_[0]->id, Description => 'tests');
    return $token;
}
"#;

/// An RT. Everything of it is gone when the tests end.
pub struct Server {
    folder: PathBuf,
    port: u16,
    tokens: Vec<(String, String)>,
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
        assert!(Path::new(SERVER).exists(), "{SERVER} is not there: run `make test`, which installs Request Tracker");
        let folder = tempfile::Builder::new().prefix("sprachpost-rt-").tempdir().unwrap().keep();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        fs::create_dir(folder.join("conf.d")).unwrap();
        fs::write(folder.join("site.pm"), "1;\n").unwrap();
        fs::write(folder.join("conf.d/tests.pm"), configuration(&folder, port)).unwrap();
        let environment = [
            ("RT_SITE_CONFIG", folder.join("site.pm").display().to_string()),
            ("RT_SITE_CONFIG_DIR", folder.join("conf.d").display().to_string()),
        ];
        let run = |command: &mut Command| {
            let output = command.envs(environment.iter().cloned()).stdin(Stdio::null()).output().unwrap();
            let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{command:?}\n{out}\n{err}");
            out.into_owned()
        };
        run(Command::new(SET_UP_DATABASE).args([
            "--action",
            "init",
            "--skip-create",
            "--dba",
            "",
            "--dba-password",
            "",
        ]));
        let users = run(Command::new("perl").args(["-e", PROVISION]));
        let tokens = users.lines().filter_map(|line| line.split_once(' ')).map(|(u, t)| (u.to_owned(), t.to_owned()));
        let tokens: Vec<_> = tokens.collect();
        assert_eq!(tokens.len(), 5, "{users}");
        let process = Guarded::start(
            [SERVER, "--host", "127.0.0.1", "--port", &port.to_string(), "--max-workers=3"].map(OsStr::new),
            &environment,
            &folder.join("server.log"),
            Some(&folder),
        );
        let server = Self { folder, port, tokens, _process: process };
        let deadline = Instant::now() + START_LIMIT;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "RT did not start:\n{}", server.log());
            thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    /// A file with the token of a user: `voicebot` has every right, `mute` may not comment (which takes either of two rights), `blind` not see comments,
    /// `fixed` not change tickets.
    pub fn token_file(&self, user: &str) -> PathBuf {
        let file = self.folder.join(format!("token-{user}"));
        fs::write(&file, self.token(user)).unwrap();
        file
    }

    fn token(&self, user: &str) -> &str {
        &self.tokens.iter().find(|(name, _)| name == user).expect("a user of the tests").1
    }

    /// Asks as an administrator, and expects that it succeeds. With a token: a password takes RT a third of a second.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut request = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .request(method, format!("{}/REST/2.0/{path}", self.url()))
            .header("authorization", format!("token {}", self.token("root")));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap();
        assert!(status.is_success(), "{path}: {status} {text}\n{}", self.log());
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub async fn ticket(&self, id: &str) -> Value {
        self.ask(Method::GET, &format!("ticket/{id}"), None).await
    }

    /// How often somebody did something of this kind to a ticket; of any kind, if it is empty.
    pub async fn transactions(&self, id: &str, kind: &str) -> usize {
        let history = self.ask(Method::GET, &format!("ticket/{id}/history?fields=Type&per_page=100"), None).await;
        let kinds = history["items"].as_array().unwrap().iter().map(|item| item["Type"].as_str().unwrap());
        kinds.filter(|own| kind.is_empty() || *own == kind).count()
    }
}

#[async_trait]
impl RealSystem for Server {
    fn port(&self) -> u16 {
        self.port
    }

    fn own_keys(&self, url: &str, queue: &str) -> String {
        own_keys(url, &self.token_file("voicebot"), queue)
    }

    async fn new_queue(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("Voice {}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.ask(Method::POST, "queue", Some(json!({ "Name": name, "Lifecycle": "default" }))).await;
        name
    }

    /// Without reminders.
    async fn tickets(&self, queue: &str) -> Vec<String> {
        let path = format!("tickets?query=Queue%3D'{}'&orderby=id&per_page=100", queue.replace(' ', "%20"));
        let found = self.ask(Method::GET, &path, None).await;
        found["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }

    async fn notes(&self, id: &str) -> Vec<Note> {
        let history = self.ask(Method::GET, &format!("ticket/{id}/history?fields=Type&per_page=100"), None).await;
        let mut comments = vec![];
        for item in history["items"].as_array().unwrap().iter().filter(|item| item["Type"] == "Comment") {
            let transaction = item["id"].as_str().unwrap();
            let parts = self.ask(Method::GET, &format!("transaction/{transaction}/attachments"), None).await;
            let mut comment = Note::default();
            for part in parts["items"].as_array().unwrap() {
                let part = self.ask(Method::GET, &format!("attachment/{}", part["id"].as_str().unwrap()), None).await;
                add(&mut comment, &part);
            }
            comments.push(comment);
        }
        comments
    }
}

/// What `[[tickets]]` says of an RT.
pub fn own_keys(url: &str, token: &Path, queue: &str) -> String {
    format!(
        "type = \"request_tracker\"\nurl = \"{url}\"\nqueue = \"{queue}\"\ntoken = {{ file = \"{}\" }}\n\
         conversation_field = \"{CONVERSATION_FIELD}\"\ntags_field = \"{TAGS_FIELD}\"\n",
        token.display()
    )
}

/// Adds a part of a comment.
fn add(note: &mut Note, part: &Value) {
    let (name, kind) = (part["Filename"].as_str().unwrap_or_default(), part["ContentType"].as_str().unwrap());
    // The envelope of a comment with parts has no content of its own.
    if kind.starts_with("multipart/") {
        return;
    }
    // RT breaks the base64 into lines.
    let content: String = part["Content"].as_str().unwrap_or_default().split_whitespace().collect();
    let bytes = BASE64.decode(content).unwrap();
    if name.is_empty() {
        note.text = String::from_utf8(bytes).unwrap();
    } else {
        note.files.push((name.to_owned(), kind.to_owned(), bytes));
    }
}

fn configuration(folder: &Path, port: u16) -> String {
    let database = folder.join("rt.sqlite");
    format!(
        "Set($rtname, 'tests'); Set($Organization, 'tests.local');\n\
         Set($CorrespondAddress, 'rt@tests.local'); Set($CommentAddress, 'rt-comment@tests.local');\n\
         Set($WebDomain, '127.0.0.1'); Set($WebPort, {port}); Set($WebPath, '');\n\
         Set($WebBaseURL, 'http://127.0.0.1:{port}');\n\
         Set($DatabaseType, 'SQLite'); Set($DatabaseName, '{}'); Set($DatabaseUser, ''); Set($DatabasePassword, '');\n\
         Set($DatabaseHost, 'localhost'); Set($DatabaseAdmin, '');\n\
         Set($MailCommand, 'testfile'); Set($LogToSyslog, undef); Set($LogToSTDERR, 'warning'); Set($LogToFile, undef);\n\
         Set($Timezone, 'Europe/Berlin'); Set($DisableGD, 1); Set($MaxAttachmentSize, 50*1024*1024);\n\
         Set(%GnuPG, Enable => 0); Set(%SMIME, Enable => 0); Set($RestrictReferrer, 0);\n1;\n",
        database.display()
    )
}
