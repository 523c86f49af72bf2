//! A service of your own: one trained network, any number of threads that ask it.
//!
//! `cargo run --release -p isograd-model --example serve -- runs/a` answers with random images. In a real
//! service, each thread is a connection.

use isograd_model::layer::{Dense, Flatten, Input, Softmax};
use isograd_model::{Error, InputInfo, Network, Predictor, layers};
use std::path::Path;
use std::thread;

/// Threads that ask at the same time, and how often each does.
const THREADS: usize = 4;
const REQUESTS: usize = 25;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let predictor = match std::env::args_os().nth(1) {
        Some(path) => Predictor::open(Path::new(&path))?,
        None => untrained()?,
    };
    for (thread, class) in serve(&predictor)?.into_iter().enumerate() {
        println!("thread {thread}: the last image is of class {}", predictor.class_name(class));
    }
    Ok(())
}

/// Lets threads ask `predictor`, and gives the last answer of each.
fn serve(predictor: &Predictor) -> Result<Vec<usize>, Error> {
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..THREADS).map(|client| scope.spawn(move || answer(predictor, client))).collect();
        clients.into_iter().map(|client| client.join().expect("no client panics")).collect()
    })
}

/// Asks for images, one at a time.
fn answer(predictor: &Predictor, client: usize) -> Result<usize, Error> {
    let [channels, height, width] = predictor.input().shape;
    let mut class = 0;
    for request in 0..REQUESTS {
        // What a decoder gives: bytes, a pixel after the other.
        let byte = |i: usize| (i * (client + 3) + 7 * request) as u8;
        let image: Vec<u8> = (0..height * width * channels).map(byte).collect();
        let probabilities = predictor.predict_nhwc_bytes(&image)?;
        class = predictor.top(&probabilities, 1)[0].0;
    }
    Ok(class)
}

/// A network that has learned nothing.
fn untrained() -> Result<Predictor, Error> {
    let network = Network::build(layers![Input::new(3, 8, 8), Flatten, Dense::new(5), Softmax])?;
    let state = network.initial_state(0)?;
    Predictor::new(network, state, InputInfo::new([3, 8, 8], 5), Vec::new())
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_threads_are_answered_as_one_is() {
        let predictor = super::untrained().expect("a small network");
        let together = super::serve(&predictor).expect("whole images");
        let alone: Vec<usize> = (0..super::THREADS)
            .map(|client| super::answer(&predictor, client).expect("whole images"))
            .collect();
        assert_eq!(together, alone);
    }
}
