//! Owns an HTTP proxy in front of one server that fails as a test says: it answers by itself, loses answers after the
//! server did its work, or keeps everybody waiting.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
};

use super::runtime;

/// What is done with a request.
#[derive(Debug, Clone)]
pub enum Action {
    Pass,
    /// The server never sees it; the client gets this status, with these headers.
    Answer(u16, &'static str),
    /// The server never sees it, and the client hears nothing for so long.
    Stall(Duration),
    /// The server does it, but the client hears nothing for so long, and then that the connection is closed.
    LoseAnswer(Duration),
}

/// A request, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub path: String,
    /// How many came before.
    pub number: usize,
}

impl Seen {
    pub fn is(&self, method: &str, part_of_path: &str) -> bool {
        self.method == method && self.path.contains(part_of_path)
    }
}

type Deciding = Pin<Box<dyn Future<Output = Action> + Send>>;
type Script = Box<dyn Fn(Seen) -> Deciding + Send + Sync>;

/// Ends when it is dropped.
pub struct HttpProxy {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// How many answers were lost so far.
    lost: watch::Receiver<usize>,
    listening: AbortHandle,
}

impl HttpProxy {
    /// One that decides at once.
    pub fn start(server_port: u16, decide: impl Fn(&Seen) -> Action + Send + Sync + 'static) -> Self {
        Self::scripted(server_port, Box::new(move |seen| Box::pin(std::future::ready(decide(&seen)))))
    }

    /// One that may do something before it decides.
    pub fn scripted(server_port: u16, script: Script) -> Self {
        let _context = runtime().enter();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let listener = TcpListener::from_std(listener).unwrap();
        let (seen, script) = (Arc::new(Mutex::new(Vec::new())), Arc::new(script));
        let (losing, lost) = watch::channel(0);
        let (log, losing) = (Arc::clone(&seen), Arc::new(losing));
        let listening = runtime().spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (log, script, losing) = (Arc::clone(&log), Arc::clone(&script), Arc::clone(&losing));
                // A client that goes away in between is what many tests are about.
                tokio::spawn(async move { drop(serve(client, server_port, &log, &script, &losing).await) });
            }
        });
        Self { port, seen, lost, listening: listening.abort_handle() }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits until the server has done something whose answer is lost.
    pub fn wait_until_done(&self) {
        let mut lost = self.lost.clone();
        runtime().block_on(async move { lost.wait_for(|lost| *lost > 0).await.map(|_| ()) }).unwrap();
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// One request a connection.
async fn serve(
    mut client: TcpStream,
    server_port: u16,
    log: &Mutex<Vec<Seen>>,
    script: &Script,
    losing: &watch::Sender<usize>,
) -> io::Result<()> {
    let (head, body) = read_request(&mut client).await?;
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let seen = {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Seen { method: method.to_owned(), path: path.to_owned(), number: log.len() };
        log.push(seen.clone());
        seen
    };
    let pass = async || {
        let mut server = TcpStream::connect(("127.0.0.1", server_port)).await?;
        let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        server.write_all(head.as_bytes()).await?;
        server.write_all(&body).await?;
        let mut answer = vec![];
        server.read_to_end(&mut answer).await?;
        io::Result::Ok(answer)
    };
    match script(seen).await {
        Action::Pass => client.write_all(&pass().await?).await?,
        Action::Answer(status, headers) => {
            let answer =
                format!("HTTP/1.1 {status} As Told\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n");
            client.write_all(answer.as_bytes()).await?;
        }
        Action::Stall(time) => tokio::time::sleep(time).await,
        Action::LoseAnswer(time) => {
            pass().await?;
            losing.send_modify(|lost| *lost += 1);
            tokio::time::sleep(time).await;
        }
    }
    client.shutdown().await
}

async fn read_request(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = vec![];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    while body.len() < length.unwrap_or(0) {
        if client.read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, body))
}
