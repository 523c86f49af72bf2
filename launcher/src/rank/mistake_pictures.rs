//! Pictures of the mistakes of which a network is surest, for loggers.

use crate::mistakes::{self, Mistake, Outcome, Problem, Tested};
use crate::system::escape::one_line;
use isograd_datasets::Dataset;
use isograd_model::logger::{ImageRecord, Record};
use isograd_model::{Element, TestTime, Trainer};
use std::sync::Arc;

/// Tries the network of `trainer` on all samples of `set`, and draws mistakes, the surest first. There are
/// none where targets are numbers or samples are no pictures.
pub(super) fn draw<T: Element>(
    trainer: &Trainer<T>,
    test_time: TestTime,
    set: &dyn Dataset,
) -> Result<Vec<Record>, Problem> {
    let [_, h, w] = set.sample_shape();
    if set.target_values().is_some() || h < 2 || w < 2 {
        return Ok(Vec::new());
    }
    // What was tested.
    let state = trainer.averaged_state().unwrap_or(trainer.state());
    let (network, isa) = (trainer.network(), trainer.config().isa);
    let tested = Tested { network, state, isa, test_time, set };
    let Outcome { has_probabilities, mistakes, .. } = mistakes::test(&tested)?;
    let picture = |(place, mistake): (usize, Mistake)| {
        let name = name(place + 1, &mistake, set.class_names(), has_probabilities);
        let thumbnail = mistake.picture?;
        let [height, width] = thumbnail.size;
        let png = thumbnail.png;
        Some(Record::Image(Arc::new(ImageRecord { name, step: trainer.steps(), width, height, png })))
    };
    Ok(mistakes.into_iter().enumerate().filter_map(picture).collect())
}

/// `mistakes/01 cat taken for dog (98.3 %)`: loggers show pictures by their names, in order.
fn name(place: usize, mistake: &Mistake, names: &[String], has_probabilities: bool) -> String {
    let class = |class: u32| match names.get(class as usize) {
        // A slash would make a group.
        Some(name) => one_line(name).replace('/', "-"),
        None => class.to_string(),
    };
    let output = match has_probabilities {
        true => format!("{:.1} %", 100.0 * mistake.output),
        false => format!("{:.3}", mistake.output),
    };
    format!("mistakes/{place:02} {} taken for {} ({output})", class(mistake.class), class(mistake.predicted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_called_by_its_classes() {
        let mistake = Mistake {
            sample: "x.png".to_string(),
            class: 1,
            predicted: 0,
            output: 0.98348,
            output_of_class: 0.01,
            picture: None,
        };
        let names = ["T-shirt/top".to_string(), "Dress".to_string()];
        assert_eq!(name(3, &mistake, &names, true), "mistakes/03 Dress taken for T-shirt-top (98.3 %)");
        assert_eq!(name(12, &mistake, &[], false), "mistakes/12 1 taken for 0 (0.983)");
    }
}
