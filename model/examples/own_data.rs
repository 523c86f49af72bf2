//! Defines and trains a network on arrays in memory.

use isograd_datasets::Arrays;
use isograd_model::{Network, TrainConfig, Trainer, layer::*, layers};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 1,000 images of 1x8x8: a bright left half is class 0, a bright right half class 1.
    let pixel =
        |i: usize| if (i % 8 < 4) == (i / 64).is_multiple_of(2) { 1.0 } else { 0.01 * (i % 7) as f32 };
    let samples: Vec<f32> = (0..1000 * 64).map(pixel).collect();
    let labels: Vec<u32> = (0..1000).map(|sample| sample % 2).collect();
    let data = Arrays::from_f32(samples, labels, [1, 8, 8], 2)?;

    let network = Network::<f32>::build(layers![
        Input::new(1, 8, 8),
        Conv2D::new(4, 3),
        ReLU,
        MaxPool2D::new(2),
        Flatten,
        Dense::new(2),
        Softmax,
    ])?;
    let mut trainer = Trainer::new(network, TrainConfig::default())?;
    for _ in 0..5 {
        let epoch = trainer.train_epoch(&data, |_| ())?;
        println!("epoch {}: loss {:.4}", epoch.epoch, epoch.train.loss);
    }
    println!("accuracy: {:.2}%", trainer.evaluate(&data)?.metrics[0]);
    Ok(())
}
