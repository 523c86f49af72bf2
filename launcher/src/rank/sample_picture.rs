//! A picture of training samples, for loggers.

use crate::failure::Failure;
use crate::sheet::Sheet;
use isograd_datasets::{Dataset, Request, SampleBuffer, SampleError};
use isograd_model::logger::{ImageRecord, Record};
use isograd_model::{DataError, Error};
use std::sync::Arc;

/// Rows and columns.
const SIDE: usize = 6;
/// Larger samples are drawn in fewer rows and columns.
const MOST_PIXELS: usize = 1500;

/// Draws samples from all over `set`, which may be sorted by class, as the first epoch has them; `None` where
/// they are no images.
pub(super) fn draw(set: &dyn Dataset, step: u64) -> Result<Option<Record>, Failure> {
    let [_, h, w] = set.sample_shape();
    if h < 2 || w < 2 {
        return Ok(None);
    }
    let side = SIDE.min(MOST_PIXELS / h.max(w)).max(1);
    let count = (side * side).min(set.len());
    let Some(mut sheet) = Sheet::new([h, w], count.div_ceil(side), side) else { return Ok(None) };
    let mut buffer = SampleBuffer::new();
    for place in 0..count {
        let index = place * set.len() / count;
        let sample = set.read(Request { index, epoch: 0 }, &mut buffer).map_err(|reason| {
            Error::Data(DataError::Sample(SampleError::Read { sample: set.describe(index), reason }))
        })?;
        sheet.draw(place / side, place % side, sample.pixels);
    }
    let mut png = Vec::new();
    sheet.write(&mut png).expect("memory takes what is written");
    let [width, height] = sheet.size();
    Ok(Some(Record::Image(Arc::new(ImageRecord { name: "samples".to_string(), step, width, height, png }))))
}
