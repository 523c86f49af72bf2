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
    waiting: Vec<Metric>,
    lost: usize,
    end: Option<Arc<RunEnd>>,
}

impl Server {
    pub(crate) fn new(address: &str, place: Place) -> Self {
        let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
        let (address, waiting) = (address.to_string(), Vec::new());
        Self { address, place, token, run: None, start: None, waiting, lost: 0, end: None }
    }

    /// Takes a record, to be sent later.
    pub(super) fn take(&mut self, record: &Record) {
        match record {
            Record::Start(start) => self.start = Some(Arc::clone(start)),
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

    /// Creates the run, or goes on with it.
    fn begin(&mut self, start: &RunStart) -> Result<String, RequestError> {
        let resumed = self.place.resumed_run(start);
        let run = match resumed.map(|run| self.reopen(run)).transpose()?.flatten() {
            Some(run) => run,
            None => self.create(start)?,
        };
        for part in parameters(start).chunks(PARAMETERS) {
            let params: Vec<Value> = part
                .iter()
                .map(|(key, value)| json!({ "key": super::key_of(key), "value": value }))
                .collect();
            match self.post("runs/log-batch", &json!({ "run_id": run, "params": params })) {
                // A run that goes on may have other numbers of ranks and threads, which MLflow does not
                // change.
                Err(RequestError::Refused(_)) if start.step > 0 => {}
                result => drop(result?),
            }
        }
        self.place.note(&run);
        self.run = Some(run.clone());
        Ok(run)
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
        let name = &self.place.experiment;
        let found = self.request(minreq::get(format!(
            "{}/api/2.0/mlflow/experiments/get-by-name?experiment_name={}",
            self.address,
            escaped(name)
        )));
        let experiment = match found {
            Ok(found) => text_of(&found["experiment"]["experiment_id"])?,
            Err(RequestError::Refused(_)) => {
                let made = self.post("experiments/create", &json!({ "name": name }))?;
                text_of(&made["experiment_id"])?
            }
            Err(gone) => return Err(gone),
        };
        let tags: Vec<Value> =
            self.place.tags(start).iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let run_name = self.place.run_name(start);
        let body = json!({ "experiment_id": experiment, "start_time": now_ms(), "run_name": run_name, "tags": tags });
        text_of(&self.post("runs/create", &body)?["run"]["info"]["run_id"])
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

    #[test]
    fn names_and_numbers_are_written_as_the_server_reads_them() {
        assert_eq!(escaped("a b/ü&c"), "a%20b%2F%C3%BC%26c");
        let number =
            |value| metric(&Metric { key: "loss".to_string(), value, step: 1, time_ms: 2 })["value"].clone();
        assert_eq!([number(f64::NAN), number(f64::NEG_INFINITY)], [json!("NaN"), json!("-Infinity")]);
        assert_eq!(number(0.5), json!(0.5));
    }
}
