//! One bound, `isograd_model::Element`, is enough for generic code that uses kernels, networks and trainers.

use isograd_model::datasets::Synthetic;
use isograd_model::kernels::{Isa, elementwise};
use isograd_model::layer::{Dense, Flatten, Input, Softmax};
use isograd_model::{Element, Network, TrainConfig, Trainer, layers};

fn trains<T: Element>() {
    let mut x = [T::ONE; 3];
    elementwise::scale(Isa::best(), T::from_f64(2.0), &mut x);
    assert_eq!(x, [T::from_f64(2.0); 3]);

    let data =
        Synthetic { seed: 1, sample_shape: [1, 4, 4], num_classes: 2 }.samples(0..8).expect("a data set");
    let network = Network::<T>::build(layers![Input::new(1, 4, 4), Flatten, Dense::new(2), Softmax]);
    let mut trainer = Trainer::new(network.expect("a network"), TrainConfig::default()).expect("a trainer");
    let report = trainer.train_epoch(&data, |_| ()).expect("an epoch");
    assert!(report.train.loss.is_finite());
}

#[test]
fn one_bound_is_enough_for_kernels_networks_and_trainers() {
    trains::<f32>();
    trains::<f64>();
}
