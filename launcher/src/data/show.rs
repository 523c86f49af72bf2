//! `isograd data show`: a sheet of samples, each with what becomes of it in some epochs.

use crate::cli::data_plan::DataShowPlan;
use crate::failure::Failure;
use crate::output::Output;
use crate::rank::views::Views;
use crate::sheet::Sheet;
use crate::system::count::count;
use crate::system::whole_file;
use isograd_datasets::{
    self as datasets, Dataset, ImageError, Request, SampleBuffer, SampleError, validation_split,
};
use isograd_model::{DataError, Error};

/// The side of samples that are made of images of different sizes.
const SIDE: usize = 224;

/// Writes the sheet.
pub(crate) fn write(plan: &DataShowPlan, out: &mut Output) -> Result<(), Failure> {
    let samples = match plan.source.load() {
        Err(Failure::Data { source: datasets::Error::Image(ImageError::Sizes { .. }), .. }) => {
            let line = format!("images have different sizes: they are shown as with --resize {SIDE}");
            out.line(&line)?;
            plan.source.resized(SIDE).load()?
        }
        samples => samples?,
    };
    let parts = validation_split(&*samples.train, 0.0)
        .map_err(|source| Failure::Data { option: "--dataset", source })?;
    let views = Views::new(&plan.augment, &parts, plan.seed)?;
    let [_, h, w] = views.train.sample_shape();
    let rows = plan.rows.min(views.train.len());
    let Some(mut sheet) = Sheet::new([h, w], rows, plan.columns + 1) else {
        let problem = format!("--rows {rows} and --columns {} make a sheet of more than 1 GiB", plan.columns);
        return Err(Failure::Usage { problem, hint: None });
    };
    for row in 0..rows {
        // From all over the set, which may be sorted by class.
        let index = row * views.train.len() / rows;
        draw(&mut sheet, [row, 0], &*views.plain, Request::new(index))?;
        for epoch in 0..plan.columns {
            draw(&mut sheet, [row, epoch + 1], &*views.train, Request { index, epoch: epoch as u32 })?;
        }
    }
    let failure = |source| Failure::Write { option: "--out", path: plan.out.clone(), source };
    whole_file::write_with(&plan.out, |file| sheet.write(file)).map_err(failure)?;
    let samples = count(rows, "sample");
    out.line(&format!("{samples} (rows), as they are and in epochs 1 to {} (columns)", plan.columns))
}

fn draw(
    sheet: &mut Sheet,
    [row, column]: [usize; 2],
    set: &dyn Dataset,
    request: Request,
) -> Result<(), Failure> {
    let mut buffer = SampleBuffer::new();
    let sample = set.read(request, &mut buffer).map_err(|reason| {
        let sample = set.describe(request.index);
        Error::Data(DataError::Sample(SampleError::Read { sample, reason }))
    })?;
    sheet.draw(row, column, sample.pixels);
    Ok(())
}
