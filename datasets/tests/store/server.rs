//! A small HTTP server on the loopback interface, which answers as a test says, and as much of S3 as is read.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A request without a body.
pub(crate) struct Request {
    /// With the query.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first and the last byte that are asked for.
    pub(crate) fn range(&self) -> Option<(usize, usize)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }

    /// A parameter of the query, with its slashes.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value.replace("%2F", "/"))
    }

    fn read(stream: &TcpStream) -> Option<Self> {
        let mut lines = BufReader::new(stream).lines();
        let target = lines.next()?.ok()?.split(' ').nth(1)?.to_string();
        let mut headers = Vec::new();
        for line in lines {
            let line = line.ok()?;
            match line.split_once(": ") {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_string())),
                None => return Some(Self { target, headers }),
            }
        }
        None
    }
}

/// An answer, which may be wrong.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// The connection ends after so much of the body.
    pub(crate) sent: Option<usize>,
    /// The connection stays open and silent after that.
    pub(crate) is_silent: bool,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_string()));
        self
    }

    /// Breaks off after so many bytes of the body.
    pub(crate) fn cut(mut self, bytes: usize) -> Self {
        self.sent = Some(bytes);
        self
    }

    /// As a good server answers.
    pub(crate) fn object(request: &Request, bytes: &[u8], tag: &str) -> Self {
        if request.header("if-match").is_some_and(|wanted| wanted != tag) {
            return Self::new(412, "");
        }
        let whole = |answer: Self| {
            let length = answer.body.len();
            answer
                .with("ETag", tag)
                .with("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
                .with("Content-Length", length)
        };
        match request.range() {
            None => whole(Self::new(200, bytes)),
            Some((first, last)) => whole(Self::new(206, &bytes[first..=last]))
                .with("Content-Range", format!("bytes {first}-{last}/{}", bytes.len())),
        }
    }
}

/// A list of objects with their lengths and tags, as S3 gives it.
pub(crate) fn list(objects: &[(&str, usize, &str)], next: Option<&str>) -> Answer {
    let mut xml = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
    _ = write!(xml, "<IsTruncated>{}</IsTruncated>", next.is_some());
    if let Some(next) = next {
        _ = write!(xml, "<NextContinuationToken>{next}</NextContinuationToken>");
    }
    for (key, bytes, tag) in objects {
        _ = write!(
            xml,
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.123Z</LastModified><ETag>{}</ETag>\
             <Size>{bytes}</Size></Contents>",
            tag.replace('"', "&quot;")
        );
    }
    let length = xml.len() + "</ListBucketResult>".len();
    Answer::new(200, xml + "</ListBucketResult>").with("Content-Length", length)
}

/// Ends when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// The targets of the requests, and the ranges they asked for.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    /// How much of bodies the connections have taken.
    pub(crate) sent_bytes: Arc<AtomicU64>,
}

impl Server {
    /// Answers each request with what `answer` makes of it and of its number, from 0.
    pub(crate) fn new(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (is_over, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let sent_bytes = Arc::new(AtomicU64::new(0));
        let (over, noted, sent) = (Arc::clone(&is_over), Arc::clone(&requests), Arc::clone(&sent_bytes));
        let thread = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                for stream in listener.incoming().map_while(Result::ok) {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let (answer, noted, over, sent) = (&answer, &noted, &over, &sent);
                    scope.spawn(move || {
                        let Some(request) = Request::read(&stream) else { return };
                        let range =
                            request.header("range").map(|range| format!(" {range}")).unwrap_or_default();
                        let number = {
                            let mut noted = noted.lock().unwrap();
                            noted.push(format!("{}{range}", request.target));
                            noted.len() - 1
                        };
                        // A client may leave early.
                        let _ = send(&stream, &answer(&request, number), sent, over);
                    });
                }
            });
        });
        Self { address, is_over, thread: Some(thread), requests, sent_bytes }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What the server was asked for until now.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

fn send(mut stream: &TcpStream, answer: &Answer, sent: &AtomicU64, over: &AtomicBool) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", answer.status);
    answer.headers.iter().for_each(|(name, value)| _ = write!(head, "{name}: {value}\r\n"));
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    for piece in answer.body[..answer.sent.unwrap_or(answer.body.len())].chunks(1 << 16) {
        stream.write_all(piece)?;
        sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    if answer.is_silent {
        // Until the client leaves.
        stream.set_read_timeout(Some(std::time::Duration::from_millis(20)))?;
        while !over.load(Ordering::Relaxed) && !matches!(stream.read(&mut [0]), Ok(0)) {}
    }
    Ok(())
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
