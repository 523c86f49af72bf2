//! A data set whose samples are augmented.

use super::draws::Key;
use super::error::AugmentError;
use super::image::{Image, Memory, Pixel};
use super::mixing::Mixing;
use super::transformation::Transformation;
use crate::parent::Parent;
use crate::{
    Dataset, Normalization, Part, Pixels, ReadError, Request, Sample, SampleBuffer, Target, check_sample,
};

/// Another data set with its samples changed at random.
///
/// ```
/// use isograd_datasets::augment::{Augmented, HorizontalFlip, RandomCrop};
/// use isograd_datasets::{Dataset, Request, SampleBuffer, Synthetic};
///
/// let set = Synthetic { seed: 1, sample_shape: [3, 32, 32], num_classes: 10 }.samples(0..100)?;
/// let flip_and_crop = [HorizontalFlip::default().into(), RandomCrop::padded(4).into()];
/// let augmented = Augmented::new(&set, 42, flip_and_crop)?;
/// let mut buffer = SampleBuffer::new();
/// let mut pixels = |epoch| augmented.read(Request { index: 7, epoch }, &mut buffer).map(|sample| {
///     sample.pixels.bytes().unwrap().to_vec()
/// });
/// assert_eq!(pixels(3)?, pixels(3)?);
/// assert_ne!(pixels(3)?, pixels(4)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Augmented<'a> {
    parent: Parent<'a>,
    seed: u64,
    /// The first transformation, if it takes a part of images that samples are made of. It is read from
    /// there.
    part: Option<Transformation>,
    /// The other ones, each with the number of those of its kind before it.
    steps: Vec<(Transformation, u32)>,
    mixing: Option<Mixing>,
    /// The shape of what the other ones begin with.
    source_shape: [usize; 3],
    sample_shape: [usize; 3],
    /// For each channel the stored value that normalisation makes 0.
    means: Vec<f32>,
}

impl<'a> Augmented<'a> {
    /// The samples of `parent`, changed by `transformations` one after the other.
    ///
    /// # Errors
    ///
    /// [`AugmentError`] of the first transformation that has a number outside of its range, or cannot change
    /// images of the shape that it gets.
    pub fn new(
        parent: impl Into<Parent<'a>>,
        seed: u64,
        transformations: impl IntoIterator<Item = Transformation>,
    ) -> Result<Self, AugmentError> {
        let parent = parent.into();
        let samples = parent.len();
        if u32::try_from(samples).is_err() {
            return Err(AugmentError::TooManySamples { samples });
        }
        let mut source_shape = parent.sample_shape();
        let (mut steps, mut sample_shape) = (Vec::<(Transformation, u32)>::new(), source_shape);
        for transformation in transformations {
            sample_shape = transformation.output_shape(sample_shape)?;
            let earlier = steps.iter().filter(|(other, _)| other.is_of_kind(&transformation)).count();
            steps.push((transformation, earlier as u32));
        }
        let mut part = steps.first().map(|(first, _)| *first);
        part = part.filter(|first| parent.parts().is_some() && first.part_size().is_some());
        if let Some(size) = part.and_then(|part| part.part_size()) {
            steps.remove(0);
            source_shape = [source_shape[0], size[0], size[1]];
        }
        let coefficients = parent.normalization().scale().iter().zip(parent.normalization().shift());
        let mean = |(scale, shift): (&f64, &f64)| if *scale == 0.0 { 0.0 } else { (-shift / scale) as f32 };
        let means = coefficients.map(mean).collect();
        Ok(Self { parent, seed, part, steps, mixing: None, source_shape, sample_shape, means })
    }

    /// The same with samples mixed with others after they are changed. Targets are numbers then, of classes
    /// their shares: such a set is for training alone, with a loss and metrics that take them.
    ///
    /// # Errors
    ///
    /// [`AugmentError::Number`] of an alpha that is none.
    pub fn with_mixing(self, mixing: Mixing) -> Result<Self, AugmentError> {
        mixing.check()?;
        Ok(Self { mixing: Some(mixing), ..self })
    }

    fn key(&self, Request { index, epoch }: Request) -> Key {
        Key { seed: self.seed, epoch, index: index as u32 }
    }

    /// Reads a sample as the transformations get it. The parent is not trusted to give what it promises.
    fn read_parent<'b>(
        &'b self,
        request: Request,
        buffer: &'b mut SampleBuffer,
    ) -> Result<Sample<'b>, ReadError> {
        if let (Some(part), Some(parts)) = (self.part, self.parent.parts()) {
            let [c, h, w] = self.source_shape;
            let key = self.key(request);
            let choose = |size: [usize; 2]| part.part(key, size);
            let sample = parts.read_part(request, &Part { size: [h, w], choose: &choose }, buffer)?;
            let (got, expected) = (sample.pixels.len(), c * h * w);
            if got != expected {
                return Err(ReadError::new(format!("a part of it has {got} values, expected {expected}")));
            }
            return Ok(sample);
        }
        let sample = self.parent.read(request, buffer)?;
        check_sample(&*self.parent, request.index, &sample).map_err(ReadError::new)?;
        Ok(sample)
    }

    /// Applies all transformations.
    fn transform<'b, P: Pixel>(&'b self, key: Key, pixels: &'b [P], memory: Memory<'b, P>) -> Image<'b, P> {
        let mut image = Image::new(self.source_shape, pixels, &self.means, memory);
        for (transformation, earlier) in &self.steps {
            transformation.apply(key, *earlier, &mut image);
        }
        image
    }

    /// Reads a sample and the one that is mixed into it.
    fn read_mixed<'b>(
        &'b self,
        mixing: Mixing,
        request: Request,
        buffer: &'b mut SampleBuffer,
    ) -> Result<Sample<'b>, ReadError> {
        let key = self.key(request);
        let draws = &mut key.draws(Mixing::PURPOSE, 0);
        let partner = Request { index: draws.below(self.len()), ..request };
        let (inner, own) = buffer.with_inner();
        let (inner, other) = inner.with_inner();
        let (source, spare) = inner.with_inner();

        let sample = self.read_parent(partner, source).map_err(|reason| {
            ReadError::new(format!(
                "{}, which is mixed into it: {reason}",
                self.parent.describe(partner.index)
            ))
        })?;
        let key_of_partner = self.key(partner);
        match sample.pixels {
            Pixels::U8(pixels) => {
                let memory =
                    Memory { front: other.bytes, spare: spare.bytes, weights: &mut spare.weights.of_bytes };
                self.transform(key_of_partner, pixels, memory).in_place();
            }
            Pixels::F32(pixels) => {
                let memory = Memory {
                    front: other.floats,
                    spare: spare.floats,
                    weights: &mut spare.weights.of_floats,
                };
                self.transform(key_of_partner, pixels, memory).in_place();
            }
        }
        self.dense(sample.target, other.values);
        let element = sample.pixels.element();

        let sample = self.read_parent(request, source)?;
        let shape = self.sample_shape;
        let share = match sample.pixels {
            pixels if pixels.element() != element => {
                let (index, got) = (partner.index, pixels.element());
                let other = self.parent.describe(index);
                return Err(ReadError::new(format!(
                    "it has values of type {got}, {other}, which is mixed into it, of type {element}"
                )));
            }
            Pixels::U8(pixels) => {
                let memory =
                    Memory { front: own.bytes, spare: spare.bytes, weights: &mut spare.weights.of_bytes };
                let mut image = self.transform(key, pixels, memory);
                mixing.apply(draws, shape, image.in_place(), other.bytes)
            }
            Pixels::F32(pixels) => {
                let memory =
                    Memory { front: own.floats, spare: spare.floats, weights: &mut spare.weights.of_floats };
                let mut image = self.transform(key, pixels, memory);
                mixing.apply(draws, shape, image.in_place(), other.floats)
            }
        };
        self.dense(sample.target, own.values);
        let is_bytes = sample.pixels.bytes().is_some();
        for (value, other) in own.values.iter_mut().zip(&*other.values) {
            *value = (share * f64::from(*value) + (1.0 - share) * f64::from(*other)) as f32;
        }
        let pixels = if is_bytes { Pixels::U8(own.bytes) } else { Pixels::F32(own.floats) };
        Ok(Sample { pixels, target: Target::Values(own.values) })
    }

    /// Overwrites `values` with a target in numbers.
    fn dense(&self, target: Target<'_>, values: &mut Vec<f32>) {
        values.clear();
        match target {
            Target::Values(target) => values.extend_from_slice(target),
            Target::Class(class) => {
                values.resize(self.parent.num_classes(), 0.0);
                values[class as usize] = 1.0;
            }
        }
    }
}

impl Dataset for Augmented<'_> {
    fn len(&self) -> usize {
        self.parent.len()
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.sample_shape
    }

    fn num_classes(&self) -> usize {
        self.parent.num_classes()
    }

    fn inner(&self) -> Option<&dyn Dataset> {
        Some(&*self.parent)
    }

    fn target_values(&self) -> Option<usize> {
        let classes = || self.mixing.map(|_| self.parent.num_classes());
        self.parent.target_values().or_else(classes)
    }

    fn normalization(&self) -> &Normalization {
        self.parent.normalization()
    }

    fn read<'b>(&'b self, request: Request, buffer: &'b mut SampleBuffer) -> Result<Sample<'b>, ReadError> {
        if let Some(mixing) = self.mixing {
            return self.read_mixed(mixing, request, buffer);
        }
        let (inner, own) = buffer.with_inner();
        let (source, spare) = inner.with_inner();
        let Sample { pixels, target } = self.read_parent(request, source)?;
        let key = self.key(request);
        let pixels = match pixels {
            Pixels::U8(pixels) => {
                let memory =
                    Memory { front: own.bytes, spare: spare.bytes, weights: &mut spare.weights.of_bytes };
                Pixels::U8(self.transform(key, pixels, memory).finish())
            }
            Pixels::F32(pixels) => {
                let memory =
                    Memory { front: own.floats, spare: spare.floats, weights: &mut spare.weights.of_floats };
                Pixels::F32(self.transform(key, pixels, memory).finish())
            }
        };
        Ok(Sample { pixels, target })
    }
}
