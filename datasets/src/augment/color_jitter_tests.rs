//! Colours against those of torchvision, and what the draws do.

use super::super::draws::Key;
use super::super::image::tests::{changed, golden, numbered};
use super::*;

const SHAPE: [usize; 3] = [3, 9, 12];

type Adjust<P> = fn(&mut Image<'_, P>, f32);

/// Compares `adjust` of floats with the golden values, and that of bytes with them rounded.
fn compare(name: &str, channels: usize, factors: &[f32], floats: Adjust<f32>, bytes: Adjust<u8>) {
    let shape = [channels, 9, 12];
    let pixels = &numbered(SHAPE)[..channels * 108];
    let unit: Vec<f32> = pixels.iter().map(|pixel| f32::from(*pixel) / 255.0).collect();
    for factor in factors {
        let expected = golden(&format!("{name} {factor}"));
        let (_, made) = changed(shape, &unit, |image| floats(image, *factor));
        assert_eq!(made.len(), expected.len());
        for (place, (made, expected)) in made.iter().zip(&expected).enumerate() {
            // Both are f32, and the golden values have six digits.
            assert!((made - expected).abs() < 3e-6, "{name} {factor}, {place}: {made}, not {expected}");
        }
        let (_, made) = changed(shape, pixels, |image| bytes(image, *factor));
        for (place, (made, expected)) in made.iter().zip(&expected).enumerate() {
            let error = (f32::from(*made) - expected * 255.0).abs();
            assert!(error < 0.501, "{name} {factor}, {place}: {made}, not {}", expected * 255.0);
        }
    }
}

/// Values from `tests/golden/augment.py`.
#[test]
fn colours_are_those_of_torchvision() {
    compare("brightness", 3, &[0.4, 1.7], adjust_brightness, adjust_brightness);
    compare("contrast", 3, &[0.4, 1.7], adjust_contrast, adjust_contrast);
    compare("contrast of one channel", 1, &[0.4, 1.7], adjust_contrast, adjust_contrast);
    compare("saturation", 3, &[0.4, 1.7], adjust_saturation, adjust_saturation);
    compare("hue", 3, &[0.2, -0.35, 0.5], adjust_hue, adjust_hue);
}

#[test]
fn a_jitter_of_0_changes_nothing() {
    let pixels = numbered(SHAPE);
    for jitter in
        [ColorJitter::default(), ColorJitter { brightness: 1e-9, hue: 1e-9, ..ColorJitter::default() }]
    {
        for index in 0..20 {
            let mut draws = Key { seed: 1, epoch: 0, index }.draws(ColorJitter::PURPOSE, 0);
            let (_, made) = changed(SHAPE, &pixels, |image| jitter.apply(&mut draws, image));
            assert!(made.iter().zip(&pixels).all(|(made, pixel)| made.abs_diff(*pixel) <= 1));
        }
    }
}

#[test]
fn a_grey_image_stays_grey() {
    let jitter = ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.9, hue: 0.5 };
    let plane = numbered([1, 9, 12]);
    for index in 0..20 {
        let draws = || Key { seed: 1, epoch: 0, index }.draws(ColorJitter::PURPOSE, 0);
        let grey = [&plane[..], &plane, &plane].concat();
        let (_, made) = changed(SHAPE, &grey, |image| jitter.apply(&mut draws(), image));
        let (_, one) = changed([1, 9, 12], &plane, |image| jitter.apply(&mut draws(), image));
        assert!(made.chunks(108).all(|plane| *plane == made[..108]), "sample {index}");
        // The parts of red, green and blue add up to 0.9999; a byte that this rounds to the other side can
        // become two or three when the contrast and the brightness grow.
        assert!(made.iter().zip(&one).all(|(made, one)| made.abs_diff(*one) <= 3), "sample {index}");
        assert_ne!(one, plane);
    }
}

/// The brightness of white and its order among the others, over many samples.
#[test]
fn factors_are_uniform() {
    let jitter = ColorJitter { brightness: 0.5, ..ColorJitter::default() };
    let mut values = Vec::new();
    for index in 0..4000 {
        let mut draws = Key { seed: 1, epoch: 0, index }.draws(ColorJitter::PURPOSE, 0);
        let (_, made) = changed([1, 1, 1], &[100_u8], |image| jitter.apply(&mut draws, image));
        values.push(f64::from(made[0]));
    }
    assert!(values.iter().all(|value| (50.0..=150.0).contains(value)));
    let mean = values.iter().sum::<f64>() / 4000.0;
    // 4.5 standard errors: the deviation is 100 / sqrt(12).
    assert!((mean - 100.0).abs() < 4.5 * 28.87 / 63.2, "mean {mean}");
    assert!(values.iter().filter(|value| **value < 75.0).count().abs_diff(1000) < 130);
}

#[test]
fn numbers_and_channels_that_do_not_fit_are_refused() {
    let message =
        |jitter: ColorJitter, channels| jitter.check([channels, 9, 9]).map_err(|error| error.to_string());
    assert_eq!(message(ColorJitter::default(), 3), Ok(()));
    assert_eq!(
        message(ColorJitter { hue: 0.6, ..ColorJitter::default() }, 3),
        Err("the hue of the colour jitter is 0.6, expected 0 to 0.5".to_string())
    );
    assert_eq!(
        message(ColorJitter::default(), 4),
        Err("the colour jitter is for images of 1 or 3 channels, these have 4".to_string())
    );
}
