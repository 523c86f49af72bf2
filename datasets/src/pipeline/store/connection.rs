//! A client for one server or bucket, and the thread in which it works.

use std::cell::Cell;
use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, RetryConfig};
use reqwest::header::HeaderValue;
use reqwest::{StatusCode, Url};
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use super::address::Place;
use super::error::StoreError;
use super::fetch::{Failure, Pauses};
use super::options::StoreOptions;
use crate::pipeline::queue::Stopped;
use crate::pipeline::run::lock;

/// The time in which a server must accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of the thread may take: what it waits for outside, as for a name server, is left behind
/// then.
const END_TIMEOUT: Duration = Duration::from_secs(1);
const USER_AGENT: &str = concat!("isograd/", env!("CARGO_PKG_VERSION"));
/// Where machines of a cloud ask for credentials.
const METADATA_HOST: &str = "169.254.169.254";

tokio::task_local! {
    /// The status of the task's last answer: the errors of object_store do not tell it.
    static STATUS: Cell<Option<StatusCode>>;
}

/// A client for one server or bucket.
pub(super) struct Connection {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) options: StoreOptions,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Connection {
    pub(super) fn new(place: &Place, options: &StoreOptions) -> Result<Self, StoreError> {
        let store = store(place, options)?;
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("downloads").enable_all().build();
        let runtime = Some(runtime.map_err(|reason| StoreError::Thread { reason })?);
        Ok(Self { runtime, store, options: options.clone(), tasks: Mutex::default() })
    }

    /// Begins `task`.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let runtime = self.runtime.as_ref().expect("it is there until it is dropped");
        let handle = runtime.spawn(STATUS.scope(Cell::new(None), task)).abort_handle();
        let mut tasks = lock(&self.tasks);
        tasks.retain(|task| !task.is_finished());
        tasks.push(handle.clone());
        handle
    }

    /// Ends what is going on.
    pub(super) fn interrupt(&self) {
        lock(&self.tasks).drain(..).for_each(|task| task.abort());
    }

    /// All objects below `folder`.
    pub(super) fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>, StoreError> {
        let (store, folder, mut pauses) =
            (Arc::clone(&self.store), folder.clone(), Pauses::new(&self.options));
        let (sender, receiver) = mpsc::channel();
        self.spawn(async move {
            let listed = loop {
                match store.list(Some(&folder)).try_collect().await {
                    Ok(found) => break Ok(found),
                    Err(error) => match classify(&error) {
                        Failure::Fatal(error) => break Err(error),
                        Failure::Broken(reason) if !pauses.wait().await => {
                            break Err(StoreError::NoAnswer { tries: pauses.breaks(), reason });
                        }
                        Failure::Broken(_) => (),
                    },
                }
            };
            // The receiver is there: it waits.
            let _ = sender.send(listed);
        });
        receiver.recv().unwrap_or(Err(StoreError::Stopped(Stopped)))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.interrupt();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(END_TIMEOUT);
        }
    }
}

fn store(place: &Place, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    // The client takes the cryptography that is installed in the process. One that is there already is as
    // good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = |error: object_store::Error| StoreError::Settings { reason: innermost(&error) };
    // Each break is counted in one place, so the client itself does not try again.
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    // The time that a whole download takes has no bound.
    let client = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(options.timeout)
        .with_user_agent(HeaderValue::from_static(USER_AGENT));
    match place {
        Place::Http(url) => {
            let builder = HttpBuilder::new()
                .with_url(url.as_str())
                .with_client_options(client.with_allow_http(url.scheme() == "http"))
                .with_retry(retry)
                .with_http_connector(Watcher::default());
            Ok(Arc::new(builder.build().map_err(settings)?))
        }
        Place::S3 { bucket } => {
            let mut builder = AmazonS3Builder::new().with_client_options(client);
            for (name, value) in &options.variables {
                let Ok(key) = name.to_ascii_lowercase().parse() else { continue };
                builder = builder.with_config(key, value);
                // Whoever gives such an address means it.
                let is_endpoint =
                    matches!(name.as_str(), "AWS_ENDPOINT_URL" | "AWS_ENDPOINT_URL_S3" | "AWS_ENDPOINT");
                if is_endpoint && Url::parse(value).is_ok_and(|url| url.scheme() == "http") {
                    builder = builder.with_allow_http(true);
                }
            }
            let builder = builder.with_bucket_name(bucket).with_retry(retry);
            Ok(Arc::new(builder.with_http_connector(Watcher::default()).build().map_err(settings)?))
        }
    }
}

/// Makes clients that note the status of each answer.
#[derive(Debug, Default)]
struct Watcher(ReqwestConnector);

#[derive(Debug)]
struct Watched(HttpClient);

impl HttpConnector for Watcher {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Watched(self.0.connect(options)?)))
    }
}

impl HttpService for Watched {
    fn call<'s, 'f>(
        &'s self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            note(None);
            let response = self.0.execute(request).await?;
            note(Some(response.status()));
            Ok(response)
        })
    }
}

fn note(status: Option<StatusCode>) {
    // Outside of a task of ours nobody asks.
    let _ = STATUS.try_with(|last| last.set(status));
}

/// The status of the task's last answer.
pub(super) fn last_status() -> Option<StatusCode> {
    STATUS.try_with(Cell::get).ok().flatten()
}

/// What a failed request means. The texts of object_store have whole addresses, with what follows the `?`, so
/// none of them is handed on.
pub(super) fn classify(error: &object_store::Error) -> Failure {
    let text = error.to_string();
    let is_of_metadata = text.contains(METADATA_HOST);
    if let Some(status) = last_status().filter(|status| !status.is_success()) {
        let code = code_in(&text).map(|code| format!(" ({code})")).unwrap_or_default();
        let answer = format!("{status}{code}");
        let is_for_now = status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        return match is_for_now {
            true => Failure::Broken(format!("the server answers {answer}")),
            // A machine of a cloud that has no role.
            false if is_of_metadata => Failure::Fatal(StoreError::NoCredentials),
            false => Failure::Fatal(StoreError::Refused { answer }),
        };
    }
    if is_of_metadata {
        return Failure::Fatal(StoreError::NoCredentials);
    }
    match is_of_transport(error) {
        true => Failure::Broken(innermost(error)),
        false => Failure::Fatal(StoreError::Unusable { reason: innermost(error) }),
    }
}

/// What is behind an error, from the last cause to the first.
fn causes(error: &object_store::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |error| (*error).source())
}

fn is_of_transport(error: &object_store::Error) -> bool {
    causes(error).any(|error| error.is::<HttpError>())
}

/// The text of the first cause.
fn innermost(error: &object_store::Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The code in the answer of an S3-compatible store, such as `NoSuchBucket`.
fn code_in(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(code)
}
