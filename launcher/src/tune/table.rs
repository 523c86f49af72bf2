//! The table of times, and their sums.

use super::choice::{Pass, Times, Tuned};
use crate::system::table::aligned;
use isograd_kernels::conv::Path;

/// A row for each shape and pass, and the sums over all layers.
pub(super) fn text(tuned: &[Tuned]) -> String {
    let head = ["convolution", "layers", "pass"].into_iter().map(str::to_string);
    let head = head.chain(Path::ALL.iter().map(|path| format!("{} us", path.name())));
    let mut rows: Vec<Vec<String>> =
        vec![head.chain(["by shape", "chosen", "gain"].map(str::to_string)).collect()];
    for each in tuned {
        let passes =
            Pass::ALL.iter().zip(&each.times).filter_map(|(pass, times)| Some((pass, times.as_ref()?)));
        for (place, (pass, times)) in passes.enumerate() {
            let (shape, layers) = match place {
                0 => (each.measured.shape.to_string(), each.measured.layers.to_string()),
                _ => Default::default(),
            };
            rows.push([vec![shape, layers, pass.name().to_string()], cells(times)].concat());
        }
    }
    let sums = |what: &str, passes: &[usize]| {
        let sum = |of: fn(&Times) -> f64| -> f64 {
            let each = tuned.iter().flat_map(|each| {
                passes.iter().filter_map(|pass| {
                    Some(of(each.times[*pass].as_ref()?) * each.measured.passes[*pass] as f64)
                })
            });
            each.sum()
        };
        let (before, after) = (sum(|times| times.of(times.by_shape)), sum(|times| times.of(times.chosen)));
        format!(
            "{what} of all convolutions, for a shard: {} by shape, {} as chosen ({})\n",
            milliseconds(before),
            milliseconds(after),
            change(before, after)
        )
    };
    aligned(&rows, 3) + &sums("forward", &[0]) + &sums("forward and backward", &[0, 1, 2])
}

/// The times in microseconds on all paths, and the choice.
fn cells(times: &Times) -> Vec<String> {
    let time = |path: &Path| match times.of(*path) {
        seconds if seconds.is_finite() => format!("{:.1}", 1e6 * seconds),
        _ => "-".to_string(),
    };
    let mut cells: Vec<String> = Path::ALL.iter().map(time).collect();
    let gain = match times.chosen == times.by_shape {
        true => String::new(),
        false => format!("{:.2}x", times.of(times.by_shape) / times.of(times.chosen)),
    };
    cells.extend([times.by_shape.name().to_string(), times.chosen.name().to_string(), gain]);
    cells
}

pub(super) fn milliseconds(seconds: f64) -> String {
    format!("{:.2} ms", 1e3 * seconds)
}

/// What a change from `before` to `after` wins, in words.
pub(super) fn change(before: f64, after: f64) -> String {
    let percent = 100.0 * (before - after) / before;
    match percent {
        0.0.. => format!("{percent:.1} % less"),
        _ => format!("{:.1} % more", -percent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_words() {
        assert_eq!(change(2.0, 1.5), "25.0 % less");
        assert_eq!(change(2.0, 2.0), "0.0 % less");
        assert_eq!(change(2.0, 3.0), "50.0 % more");
        assert_eq!(milliseconds(0.0123), "12.30 ms");
    }
}
