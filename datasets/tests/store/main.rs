//! Objects of HTTP servers and S3-compatible stores: downloads that break off, servers that lie, lists,
//! mirrors.

mod downloads;
mod lists;
mod mirrors;
mod server;

use isograd_datasets::pipeline::{ChunkObject, Pipeline, StoreOptions, chunk_objects};
use server::Server;
use std::time::Duration;

/// A secret that no error may have.
const SECRET: &str = "hidden-secret";

/// Without long pauses.
fn options() -> StoreOptions {
    StoreOptions { retries: 4, pause: Duration::from_millis(1), ..StoreOptions::default() }
}

/// For a bucket of `server`.
fn s3_options(server: &Server) -> StoreOptions {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", "nowhere-1"),
        ("AWS_ENDPOINT_URL", &server.url("")),
    ];
    options().with_variables(variables.map(|(name, value)| (name.to_string(), value.to_string())))
}

/// The contents of the objects at `address`, or the error of the run.
fn read_all(address: &str, options: &StoreOptions) -> Result<Vec<Vec<u8>>, String> {
    let address = address.parse().map_err(|error| format!("{error}"))?;
    let objects = chunk_objects(&address, options).map_err(|error| error.to_string())?;
    let read =
        Pipeline::new().source("objects", objects).stage("download", |object: ChunkObject| object.read());
    let built = read.workers(3).collect("all").build().unwrap();
    built.run().map(|mut out| out.take("all").unwrap()).map_err(|error| {
        let text = error.to_string();
        assert!(!format!("{text} {error:?}").contains(SECRET), "{error:?}");
        text
    })
}

/// Bytes that differ.
fn bytes(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}
