//! What the public types promise to programs with threads.

use isograd_comm::{
    Buffer, Communicator, Error, FileError, Key, Launcher, Meeting, MpiError, PeerError, Place, RankNumber,
    RankValue, RankVariables, RendezvousError, Settings, ShardPlan, ShardSum, SharedMemoryError, Shares,
    Transport, VariablesError,
};

fn assert_send_and_sync<T: Send + Sync>() {}

#[test]
fn public_types_are_send_and_sync() {
    assert_send_and_sync::<Communicator>();
    assert_send_and_sync::<Settings>();
    assert_send_and_sync::<Meeting>();
    assert_send_and_sync::<Place>();
    assert_send_and_sync::<Transport>();
    assert_send_and_sync::<Key>();
    assert_send_and_sync::<Launcher>();
    assert_send_and_sync::<RankVariables>();
    assert_send_and_sync::<(RankNumber, RankValue)>();
    assert_send_and_sync::<(ShardPlan, Shares)>();
    assert_send_and_sync::<(ShardSum<f32>, ShardSum<f64>)>();
    assert_send_and_sync::<(Buffer<f32>, Buffer<f64>)>();
    assert_send_and_sync::<(Error, FileError, MpiError, PeerError)>();
    assert_send_and_sync::<(RendezvousError, SharedMemoryError, VariablesError)>();
    #[cfg(feature = "mpi")]
    assert_send_and_sync::<isograd_comm::Mpi>();
}
