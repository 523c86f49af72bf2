//! All-reduce between two ranks in threads, over shared memory and over TCP on this host.

use isograd_benches::{Buffer, Suite, Work, assert_close, integers, widen};
use isograd_comm::{Communicator, Meeting, Place, Settings, Transport};
use isograd_kernels::Isa;
use std::hint::black_box;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// The lengths of the vectors. simplecnn has 149,210 parameters.
const LENGTHS: [usize; 7] = [1, 1 << 8, 1 << 12, 1 << 16, 149_210, 1 << 20, 1 << 22];

const TRANSPORTS: [(&str, Transport); 2] = [("shm", Transport::SharedMemory), ("tcp", Transport::Tcp)];

fn join(folder: &Path, rank: usize, transport: Transport) -> Communicator {
    let mut settings = Settings::new(Meeting::new(Place::File(folder.join("meeting")), rank, 2));
    settings.transport = transport;
    Communicator::join(&settings).unwrap_or_else(|error| panic!("rank {rank}: {error}"))
}

/// Makes one rank's calls of an all-reduce of `len` elements, after it has checked the result once.
fn checked(mut communicator: Communicator, len: usize) -> impl FnMut(u64) -> Duration {
    let ones = [1, 2].map(|rank| widen(&integers(len, rank)));
    let sum: Vec<f64> = ones[0].iter().zip(&ones[1]).map(|(a, b)| a + b).collect();
    let mut x: Buffer = integers(len, 1 + communicator.rank() as u64);
    communicator.allreduce(&mut x).expect("the other rank takes part");
    assert_close("allreduce", &x, &sum, 0.0);
    // Zeros stay zeros, however often they are summed. Other values would overflow in the end.
    x.fill(0.0);
    move |runs| {
        communicator.barrier().expect("the other rank takes part");
        let start = Instant::now();
        for _ in 0..runs {
            communicator.allreduce(black_box(&mut x)).expect("the other rank takes part");
        }
        start.elapsed()
    }
}

fn allreduce(suite: &mut Suite, name: &str, transport: Transport, len: usize) {
    let bytes = len * size_of::<f32>();
    // Each rank reads its vector and writes it, as a copy of the vector does.
    let work = Work::Bytes { moved: 2 * bytes, footprint: 2 * bytes };
    suite.custom(Isa::best(), 2, &format!("{name} {bytes} bytes"), work, || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, (orders, received)) = (folder.path().to_owned(), channel());
        std::thread::spawn(move || {
            let mut other = checked(join(&path, 1, transport), len);
            // The loop ends when the first rank drops its sender.
            for runs in received {
                other(runs);
            }
        });
        let mut first = checked(join(folder.path(), 0, transport), len);
        move |runs| {
            orders.send(runs).expect("the other rank's thread runs");
            first(runs)
        }
    });
}

fn main() {
    let mut suite = Suite::new("allreduce");
    for (name, transport) in TRANSPORTS {
        for len in LENGTHS {
            allreduce(&mut suite, name, transport, len);
        }
    }
    suite.finish();
}
