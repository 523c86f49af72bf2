//! Several trainers on one stream, each with an evaluation beside it: the example, whose numbers are checked
//! here.

#[allow(dead_code, reason = "its `main` prints")]
#[path = "../../examples/stream_trainers.rs"]
mod stream_trainers;

use crate::{LONG, within};

#[test]
fn trainers_that_share_a_stream_have_the_bits_of_lonely_runs() {
    within("trainers", LONG, || {
        let rates = [1e-1, 1e-2, 1e-3, 1e-4];
        let together = stream_trainers::run(&rates).unwrap();
        for (rate, trained) in rates.iter().zip(&together) {
            let alone = stream_trainers::run(&[*rate]).unwrap();
            let bits = |weights: &[f32]| weights.iter().map(|w| w.to_bits()).collect::<Vec<_>>();
            assert_eq!(alone[0].accuracies, trained.accuracies, "learning rate {rate}");
            assert_eq!(bits(&alone[0].weights), bits(&trained.weights), "learning rate {rate}");
            // 2,000 samples are 32 mini-batches: four snapshots and the last.
            assert_eq!(trained.accuracies.len(), 5);
        }
        assert!(together[1].accuracies[4] > 0.9, "{together:?}");
        assert_ne!(together[0].weights, together[1].weights);
    });
}
