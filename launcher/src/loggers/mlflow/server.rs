//! A run at a server of MLflow, by its REST API, version 2.0.

use super::{Metric, Place, Status, metrics, now_ms, parameters};
use isograd_model::logger::{Record, RunEnd, RunStart};
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;

/// Seconds that a request may take.
const TIMEOUT: u64 = 10;
/// The most numbers in a request.
const BATCH: usize = 1000;
/// The most parameters in a request.
const PARAMETERS: usize = 100;
/// The most numbers that wait for a server that does not answer; the oldest ones go.
const WAITING: usize = 100_000;
/// The variable with a token that the server asks for.
const TOKEN: &str = "MLFLOW_TRACKING_TOKEN";

/// Why a request fails.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// Nobody answers: it may help to try again.
    Gone(String),
    /// The server refuses.
    Refused(String),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(problem) => write!(f, "the server does not answer: {problem}"),
            Self::Refused(problem) => write!(f, "the server refuses: {problem}"),
        }
    }
}

/// What is to be sent to a server.
#[derive(Debug)]
pub(crate) struct Server {
    address: String,
    place: Place,
    token: Option<String>,
    /// The number of the run, when it has been created.
    run: Option<String>,
    start: Option<Arc<RunStart>>,
    /// Parameters that the server has not taken yet.
    parameters: Vec<(String, String)>,
    waiting: Vec<Metric>,
    lost: usize,
    end: Option<Arc<RunEnd>>,
}

impl Server {
    pub(crate) fn new(address: &str, place: Place) -> Self {
        let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
        let (address, parameters, waiting) = (address.to_string(), Vec::new(), Vec::new());
        Self { address, place, token, run: None, start: None, parameters, waiting, lost: 0, end: None }
    }

    /// Takes a record, to be sent later.
    pub(super) fn take(&mut self, record: &Record) {
        match record {
            Record::Start(start) => {
                self.parameters = parameters(start);
                self.start = Some(Arc::clone(start));
            }
            Record::End(end) => self.end = Some(Arc::clone(end)),
            record => self.waiting.extend(metrics(record)),
        }
        let surplus = self.waiting.len().saturating_sub(WAITING);
        self.lost += self.waiting.drain(..surplus).len();
    }

    /// How many numbers have been lost, and how many wait.
    pub(super) fn unsent(&self) -> usize {
        self.lost + self.waiting.len()
    }

    /// Whether so many numbers wait that they should be sent.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= BATCH
    }

    /// Sends what waits.
    pub(super) fn send(&mut self) -> Result<(), RequestError> {
        let Some(start) = self.start.clone() else { return Ok(()) };
        let run = match &self.run {
            Some(run) => run.clone(),
            None => self.begin(&start)?,
        };
        self.send_parameters(&run, &start)?;
        while !self.waiting.is_empty() {
            let count = self.waiting.len().min(BATCH);
            let metrics: Vec<Value> = self.waiting[..count].iter().map(metric).collect();
            self.post("runs/log-batch", &json!({ "run_id": run, "metrics": metrics }))?;
            self.waiting.drain(..count);
        }
        if let Some(end) = self.end.clone() {
            if let Some(hash) = &end.hash {
                self.post("runs/set-tag", &json!({ "run_id": run, "key": "params_sha256", "value": hash }))?;
            }
            let status = Status::of(&end).name();
            self.post("runs/update", &json!({ "run_id": run, "status": status, "end_time": now_ms() }))?;
            self.end = None;
        }
        Ok(())
    }

    /// Creates the run, or goes on with it. It is known from then on: where the server does not take what
    /// follows, the next try is for this run.
    fn begin(&mut self, start: &RunStart) -> Result<String, RequestError> {
        let resumed = self.place.resumed_run(start);
        let run = match resumed.map(|run| self.reopen(run)).transpose()?.flatten() {
            Some(run) => run,
            None => self.create(start)?,
        };
        self.place.note(&run);
        self.run = Some(run.clone());
        Ok(run)
    }

    fn send_parameters(&mut self, run: &str, start: &RunStart) -> Result<(), RequestError> {
        while !self.parameters.is_empty() {
            let count = self.parameters.len().min(PARAMETERS);
            let params: Vec<Value> = self.parameters[..count]
                .iter()
                .map(|(key, value)| json!({ "key": super::key_of(key), "value": value }))
                .collect();
            match self.post("runs/log-batch", &json!({ "run_id": run, "params": params })) {
                // A run that goes on may have other numbers of ranks and threads, which MLflow does not
                // change.
                Err(RequestError::Refused(_)) if start.step > 0 => {}
                result => drop(result?),
            }
            self.parameters.drain(..count);
        }
        Ok(())
    }

    /// Goes on with the run `run`; `None` if the server does not have it.
    fn reopen(&self, run: String) -> Result<Option<String>, RequestError> {
        match self.post("runs/update", &json!({ "run_id": run, "status": "RUNNING" })) {
            Ok(_) => Ok(Some(run)),
            Err(RequestError::Refused(_)) => Ok(None),
            Err(gone) => Err(gone),
        }
    }

    fn create(&self, start: &RunStart) -> Result<String, RequestError> {
        let experiment = self.experiment()?;
        let tags: Vec<Value> =
            self.place.tags(start).iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let run_name = self.place.run_name(start);
        let body = json!({ "experiment_id": experiment, "start_time": now_ms(), "run_name": run_name, "tags": tags });
        text_of(&self.post("runs/create", &body)?["run"]["info"]["run_id"])
    }

    /// The number of the experiment, which is created if there is none of its name.
    fn experiment(&self) -> Result<String, RequestError> {
        match self.find_experiment() {
            Err(RequestError::Refused(_)) => {}
            found => return found,
        }
        match self.post("experiments/create", &json!({ "name": self.place.experiment })) {
            Ok(made) => text_of(&made["experiment_id"]),
            // Another trial or rank may have created it meanwhile.
            Err(RequestError::Refused(problem)) => match self.find_experiment() {
                Err(RequestError::Refused(_)) => Err(RequestError::Refused(problem)),
                found => found,
            },
            Err(gone) => Err(gone),
        }
    }

    fn find_experiment(&self) -> Result<String, RequestError> {
        let name = escaped(&self.place.experiment);
        let found = self.request(minreq::get(format!(
            "{}/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}",
            self.address
        )))?;
        text_of(&found["experiment"]["experiment_id"])
    }

    fn post(&self, what: &str, body: &Value) -> Result<Value, RequestError> {
        let request = minreq::post(format!("{}/api/2.0/mlflow/{what}", self.address));
        self.request(request.with_header("Content-Type", "application/json").with_body(body.to_string()))
    }

    fn request(&self, mut request: minreq::Request) -> Result<Value, RequestError> {
        if let Some(token) = &self.token {
            request = request.with_header("Authorization", format!("Bearer {token}"));
        }
        let response = request.with_timeout(TIMEOUT).send();
        let response = response.map_err(|error| RequestError::Gone(error.to_string()))?;
        let text = response.as_str().unwrap_or_default();
        match response.status_code {
            200..300 => {
                serde_json::from_str(text).map_err(|_| RequestError::Refused("it is no MLflow".to_string()))
            }
            500.. | 429 => Err(RequestError::Gone(format!("status {}", response.status_code))),
            status => {
                let message = serde_json::from_str::<Value>(text).ok();
                let message = message.and_then(|value| Some(value["message"].as_str()?.to_string()));
                let message = message.unwrap_or_else(|| text.chars().take(200).collect());
                Err(RequestError::Refused(format!("status {status}: {message}")))
            }
        }
    }
}

fn metric(metric: &Metric) -> Value {
    let Metric { key, value, step, time_ms } = metric;
    let value = match value {
        value if value.is_finite() => json!(value),
        value if value.is_nan() => json!("NaN"),
        value if *value > 0.0 => json!("Infinity"),
        _ => json!("-Infinity"),
    };
    json!({ "key": key, "value": value, "timestamp": time_ms, "step": step })
}

/// The text that a server has answered.
fn text_of(value: &Value) -> Result<String, RequestError> {
    match value.as_str() {
        Some(text) => Ok(text.to_string()),
        None => Err(RequestError::Refused("its answer has no number of a run or experiment".to_string())),
    }
}

/// `text` for a query of a URL.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            true => escaped.push(byte as char),
            false => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::path::Path;
    use std::sync::mpsc::channel;
    use std::thread;

    /// A server at this host, whose address is returned. `answer` gets the path and the body of each request,
    /// one after the other, and gives the status and the answer.
    fn serve(mut answer: impl FnMut(&str, Value) -> (u16, Value) + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let head: Vec<String> =
                    stream.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
                let path = head[0].split(' ').nth(1).unwrap();
                let length = head.iter().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok()
                });
                let mut body = vec![0; length.unwrap_or(0)];
                stream.read_exact(&mut body).unwrap();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let (status, text) = answer(path.rsplit("mlflow/").next().unwrap(), body);
                let text = text.to_string();
                let head =
                    format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}", text.len());
                stream.get_mut().write_all(format!("{head}\r\n\r\n{text}").as_bytes()).unwrap();
            }
        });
        address
    }

    /// A server that has got the start of a run with 150 settings; the run has `folder`.
    fn started(address: &str, folder: &Path) -> Server {
        let place = Place {
            target: address.to_string(),
            experiment: "tests".to_string(),
            parent: None,
            rank: 0,
            folder: Some(folder.to_path_buf()),
        };
        let settings = (0..150).map(|number| (format!("option-{number}"), "x".to_string())).collect();
        let mut server = Server::new(address, place);
        server.take(&Record::Start(Arc::new(RunStart { settings, ..RunStart::default() })));
        server
    }

    #[test]
    fn a_run_is_created_once_however_often_its_parameters_are_sent() {
        let folder = tempfile::tempdir().unwrap();
        let (requests, got) = channel();
        let mut batches = 0;
        let address = serve(move |path, body| {
            let count = body["params"].as_array().map_or(0, Vec::len);
            requests.send((path.to_string(), count)).unwrap();
            batches += usize::from(path == "runs/log-batch");
            match path {
                "runs/create" => (200, json!({ "run": { "info": { "run_id": "7f" } } })),
                // The second part of the parameters fails twice.
                "runs/log-batch" if [2, 3].contains(&batches) => (503, json!({})),
                "runs/log-batch" => (200, json!({})),
                _ => (200, json!({ "experiment": { "experiment_id": "1" } })),
            }
        });
        let mut server = started(&address, folder.path());
        for _ in 0..2 {
            assert!(matches!(server.send(), Err(RequestError::Gone(_))));
            assert!(server.place.resumed_run(&RunStart { step: 1, ..RunStart::default() }).is_some());
        }
        server.send().unwrap();
        let got: Vec<(String, usize)> = got.try_iter().collect();
        assert_eq!(got.iter().filter(|(path, _)| path == "runs/create").count(), 1, "{got:?}");
        let parts: Vec<usize> =
            got.iter().filter(|(path, _)| path == "runs/log-batch").map(|(_, count)| *count).collect();
        assert_eq!(parts, [100, 52, 52, 52]);
    }

    #[test]
    fn an_experiment_that_another_run_creates_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (requests, got) = channel();
        let mut is_there = false;
        let address = serve(move |path, body| match path {
            "experiments/get-by-name?experiment_name=tests" if !is_there => (404, json!({})),
            "experiments/create" => {
                is_there = true;
                (400, json!({ "message": "it already exists" }))
            }
            "runs/create" => {
                requests.send(body["experiment_id"].clone()).unwrap();
                (200, json!({ "run": { "info": { "run_id": "7f" } } }))
            }
            _ => (200, json!({ "experiment": { "experiment_id": "5" } })),
        });
        started(&address, folder.path()).send().unwrap();
        assert_eq!(got.try_iter().collect::<Vec<_>>(), [json!("5")]);
        // Refused for another reason: it is said.
        let address = serve(|path, _| match path {
            "experiments/create" => (400, json!({ "message": "no such name" })),
            _ => (404, json!({ "message": "there is none" })),
        });
        let refused = started(&address, folder.path()).send().unwrap_err().to_string();
        assert_eq!(refused, "the server refuses: status 400: no such name");
    }

    #[test]
    fn names_and_numbers_are_written_as_the_server_reads_them() {
        assert_eq!(escaped("a b/ü&c"), "a%20b%2F%C3%BC%26c");
        let number =
            |value| metric(&Metric { key: "loss".to_string(), value, step: 1, time_ms: 2 })["value"].clone();
        assert_eq!([number(f64::NAN), number(f64::NEG_INFINITY)], [json!("NaN"), json!("-Infinity")]);
        assert_eq!(number(0.5), json!(0.5));
    }
}
