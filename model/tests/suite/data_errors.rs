//! Data sets of users that contradict themselves or cannot be read: errors that name the sample.

use crate::common::build;
use crate::training::trainer;
use isograd_datasets::{
    Arrays, Dataset, Normalization, Pixels, ReadError, Request, Sample, SampleBuffer, Subset, Target,
};
use isograd_model::layer::*;
use isograd_model::loss::{CategoricalCrossEntropy, MeanSquaredError};
use isograd_model::{DataError, Error, Loss, NonFinite, TrainConfig, layers};
use std::sync::Arc;

const SAMPLES: usize = 100;

/// Samples of 2x1x1 of three classes, with one that is `odd`.
struct Custom {
    odd: Option<(usize, Sample<'static>)>,
    normalization: Normalization,
}

impl Custom {
    fn new(odd: Option<(usize, Sample<'static>)>) -> Self {
        Self { odd, normalization: Normalization::identity(2) }
    }

    fn normalized(normalization: Normalization) -> Self {
        Self { normalization, ..Self::new(None) }
    }
}

impl Dataset for Custom {
    fn len(&self) -> usize {
        SAMPLES
    }

    fn sample_shape(&self) -> [usize; 3] {
        [2, 1, 1]
    }

    fn num_classes(&self) -> usize {
        3
    }

    fn normalization(&self) -> &Normalization {
        &self.normalization
    }

    fn read<'a>(&'a self, request: Request, _: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError> {
        let target = Target::Class(request.index as u32 % 3);
        match self.odd {
            Some((odd, sample)) if odd == request.index => Ok(sample),
            _ => Ok(Sample { pixels: Pixels::F32(&[0.5, -0.5]), target }),
        }
    }
}

fn sample(pixels: &'static [f32], label: u32) -> Sample<'static> {
    Sample { pixels: Pixels::F32(pixels), target: Target::Class(label) }
}

fn network() -> isograd_model::Network<f32> {
    build(layers![Input::new(2, 1, 1), Dense::new(3), Softmax])
}

/// Training on `data` in a single step and evaluating it fail with `expected`, and the step is not done.
fn refuse(data: &dyn Dataset, expected: &str) {
    let mut trainer = trainer(network(), TrainConfig { batch_size: SAMPLES, ..TrainConfig::default() });
    let before = trainer.state().params_sha256();
    let training = trainer.train_epoch(data, |_| ()).expect_err("bad data");
    let evaluation = trainer.evaluate(data).expect_err("bad data");
    for error in [training, evaluation] {
        assert_eq!(error.to_string(), expected);
        assert!(matches!(error, Error::Data(_)), "{error:?}");
    }
    assert_eq!((trainer.steps(), trainer.state().params_sha256()), (0, before));
}

#[test]
fn a_sample_that_contradicts_its_data_set_is_named() {
    for index in [0, 50, 99] {
        let refuse = |sample, expected: &str| refuse(&Custom::new(Some((index, sample))), expected);
        refuse(sample(&[0.0; 2], 3), &format!("label 3 of sample {index} is out of range for 3 classes"));
        for pixels in [&[0.0; 3][..], &[0.0], &[]] {
            let got = pixels.len();
            let values = if got == 1 { "value" } else { "values" };
            let expected =
                format!("sample {index} has {got} {values}, expected 2 for sample shape [2, 1, 1]");
            refuse(sample(pixels, 0), &expected);
        }
    }
    let bytes = Sample { pixels: Pixels::U8(&[1, 2]), target: Target::Class(0) };
    let mut other = trainer(network(), TrainConfig::default());
    let error = other.evaluate(&Custom::new(Some((50, bytes)))).expect_err("two element types");
    // The shards have 32 samples.
    assert_eq!(error.to_string(), "sample 50 has values of type u8, sample 32 of type f32");
    // Of a part, the index in the whole set.
    let whole = Custom::new(Some((50, sample(&[0.0; 2], 7))));
    refuse(&Subset::new(&whole, 20..80), "label 7 of sample 50 is out of range for 3 classes");
    let mut trainer = trainer(network(), TrainConfig::default());
    trainer.train_epoch(&Subset::new(&whole, 0..50), |_| ()).expect("samples that fit");
}

/// The samples of another set, decoded into the caller's memory; one of them cannot be read.
pub(crate) struct Decoding<'a> {
    pub(crate) inner: &'a dyn Dataset,
    pub(crate) unreadable: Option<usize>,
}

impl Dataset for Decoding<'_> {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.inner.sample_shape()
    }

    fn num_classes(&self) -> usize {
        self.inner.num_classes()
    }

    fn target_values(&self) -> Option<usize> {
        self.inner.target_values()
    }

    fn normalization(&self) -> &Normalization {
        self.inner.normalization()
    }

    fn read<'a>(&'a self, request: Request, buffer: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError> {
        if self.unreadable == Some(request.index) {
            return Err(ReadError::new("the file ends after 7 bytes"));
        }
        let (inner, outer) = buffer.with_inner();
        let sample = self.inner.read(request, inner)?;
        let pixels = match sample.pixels {
            Pixels::U8(bytes) => {
                outer.bytes.clear();
                outer.bytes.extend_from_slice(bytes);
                Pixels::U8(outer.bytes)
            }
            Pixels::F32(floats) => {
                outer.floats.clear();
                outer.floats.extend_from_slice(floats);
                Pixels::F32(outer.floats)
            }
        };
        Ok(Sample { pixels, target: sample.target })
    }

    fn describe(&self, index: usize) -> String {
        format!("sample {index} (photos/{index}.jpg)")
    }
}

#[test]
fn a_sample_that_cannot_be_read_is_named_as_its_set_names_it() {
    let data = Custom::new(None);
    let data = Decoding { inner: &data, unreadable: Some(50) };
    refuse(&data, "cannot read sample 50 (photos/50.jpg): the file ends after 7 bytes");
    refuse(&Subset::new(&data, 20..80), "cannot read sample 50 (photos/50.jpg): the file ends after 7 bytes");
}

#[test]
fn samples_that_are_decoded_give_the_bits_of_samples_in_memory() {
    let values =
        Arrays::from_f32_with_values(vec![0.5; 80], vec![0.25; 120], [2, 1, 1], 3).expect("a data set");
    let classes = Custom::new(None);
    for (data, loss) in [
        (&classes as &dyn Dataset, Arc::new(CategoricalCrossEntropy::new()) as Arc<dyn Loss<f32>>),
        (&values, Arc::new(MeanSquaredError)),
    ] {
        let outcome = |data: &dyn Dataset| {
            let config = TrainConfig { loss: Arc::clone(&loss), metrics: vec![], ..TrainConfig::default() };
            let mut trainer = trainer(network(), config);
            let epoch = trainer.train_epoch(data, |_| ()).expect("finite losses");
            let evaluation = trainer.evaluate(data).expect("finite losses");
            (trainer.state().params_sha256(), epoch.train, evaluation)
        };
        assert_eq!(outcome(&Decoding { inner: data, unreadable: None }), outcome(data));
    }
}

#[test]
fn a_normalization_fits_the_samples_and_the_element_type() {
    refuse(
        &Custom::normalized(Normalization::identity(3)),
        "the normalization of the data set has 3 channels, its samples have 2",
    );
    let huge = Normalization::new(vec![1.0, 1e300], vec![0.0, 0.0]).expect("finite numbers");
    refuse(
        &Custom::normalized(huge),
        &format!("the normalization of channel 1 (scale {}, shift 0) is beyond the range of float32", 1e300),
    );
}

#[test]
fn more_samples_than_an_epoch_can_order_are_refused() {
    /// As many samples as are asked for.
    struct Endless(Custom);

    impl Dataset for Endless {
        fn len(&self) -> usize {
            1 << 33
        }

        fn sample_shape(&self) -> [usize; 3] {
            self.0.sample_shape()
        }

        fn num_classes(&self) -> usize {
            self.0.num_classes()
        }

        fn normalization(&self) -> &Normalization {
            self.0.normalization()
        }

        fn read<'a>(&'a self, _: Request, _: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError> {
            panic!("no sample is read")
        }
    }

    let mut trainer = trainer(network(), TrainConfig::default());
    let error = trainer.train_epoch(&Endless(Custom::new(None)), |_| ()).expect_err("too many samples");
    assert!(
        matches!(error, Error::Data(DataError::TooManySamples { samples }) if samples == 1 << 33),
        "{error}"
    );
}

#[test]
fn values_that_are_no_numbers_are_named() {
    for value in [&[f32::NAN, 0.0], &[0.0, f32::INFINITY]] {
        let data = Custom::new(Some((70, sample(value, 0))));
        let mut trainer = trainer(network(), TrainConfig::default());
        let error = trainer.train_epoch(&data, |_| ()).expect_err("no finite loss");
        assert!(matches!(error, Error::NonFinite(NonFinite::Loss { bad_sample: Some(_), .. })), "{error}");
        let error = trainer.evaluate(&data).expect_err("no finite loss").to_string();
        assert_eq!(
            error,
            "the mean loss of 100 evaluated samples is NaN: sample 70 holds an infinite value or NaN"
        );
    }
}
