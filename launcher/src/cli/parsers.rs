//! Parsers for the values of options. Their errors quote the text and say what is expected.

use crate::cli::address;
use crate::cli::augment_plan::NormalizePlan;
use crate::cli::metric_plan::MetricPlan;
use crate::cli::network_plan::ModelName;
use crate::system::count::count as count_of;
use crate::system::names;
use clap::ValueEnum;
use clap_complete::Shell;
use isograd_comm::Transport;
use isograd_datasets::Published;
use isograd_datasets::augment::{Border, ColorJitter};
use isograd_datasets::images::OnBadImage;
use isograd_datasets::open::Named;
use isograd_datasets::table::{Missing, Targets};
use isograd_kernels::Isa;
use isograd_kernels::conv::Precision;
use isograd_model::layer::ConvPath;
use isograd_model::{Error, RateRange, TestTime, loss, zoo};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most threads or ranks on one machine.
const MAX_THREADS: u32 = 1024;

/// The most samples in a shard. A shard should fit the caches of one core; larger ones would only take
/// memory.
const MAX_SHARD_SIZE: u32 = 4096;

/// The name of a data set, or where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatasetName {
    /// One of those that the library knows.
    Named(&'static str, Named),
    /// Random images with a pattern.
    Synthetic,
    /// Whatever is there.
    Path(PathBuf),
}

/// What each rank is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bind {
    Cores,
    None,
}

/// An instruction-set level, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IsaName {
    /// The best one that the CPU has.
    Auto,
    /// One of [`Isa::NAMES`].
    Level(&'static str),
}

impl IsaName {
    /// The level, if the CPU of this machine has it.
    pub(crate) fn on_this_cpu(self) -> Result<Isa, String> {
        match self {
            Self::Auto => Ok(Isa::best()),
            Self::Level(name) => Isa::from_name(name).ok_or_else(|| {
                let available: Vec<_> = Isa::available().into_iter().map(Isa::name).collect();
                format!("this CPU has no {name}; it has {}", available.join(", "))
            }),
        }
    }
}

/// The format of a history file, by its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HistoryFormat {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

/// A history file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HistoryFile {
    pub(crate) path: PathBuf,
    pub(crate) format: HistoryFormat,
}

/// How ranks share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parallel {
    /// Each has a part of every batch.
    Data,
    /// There is one rank.
    Sequential,
}

/// How ranks share the work.
pub(crate) fn parallel(text: &str) -> Result<Parallel, String> {
    match text {
        "data" => Ok(Parallel::Data),
        "sequential" => Ok(Parallel::Sequential),
        _ => Err(names::unknown("kind of parallelism", text, &["data", "sequential"])),
    }
}

/// The name of a shell.
pub(crate) fn shell(text: &str) -> Result<Shell, String> {
    let known: Vec<String> = Shell::value_variants().iter().map(Shell::to_string).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Shell::from_str(text, false).map_err(|_| names::unknown("shell", text, &known))
}

/// A whole number.
pub(crate) fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("must be a whole number from 0 to {}, it is '{text}'", u32::MAX))
}

/// A whole number of at least 1.
pub(crate) fn count(text: &str) -> Result<u32, String> {
    at_most(text, u32::MAX)
}

/// A number of threads.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    at_most(text, MAX_THREADS).map(|threads| threads as usize)
}

/// A number of samples in a shard.
pub(crate) fn shard_size(text: &str) -> Result<usize, String> {
    at_most(text, MAX_SHARD_SIZE).map(|samples| samples as usize)
}

/// A number of classes; labels are bytes.
pub(crate) fn classes(text: &str) -> Result<usize, String> {
    at_most(text, 256).map(|classes| classes as usize)
}

fn at_most(text: &str, max: u32) -> Result<u32, String> {
    match text.parse() {
        Ok(value) if (1..=max).contains(&value) => Ok(value),
        _ => Err(format!("must be a whole number from 1 to {max}, it is '{text}'")),
    }
}

/// A whole number.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("must be a whole number from 0 to {}, it is '{text}'", u64::MAX))
}

/// A fraction below 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..1.0).contains(&value) => Ok(value),
        _ => Err(format!("must be a number of at least 0 and below 1, it is '{text}'")),
    }
}

/// A finite number that is not negative.
pub(crate) fn nonnegative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value >= 0.0 && value.is_finite() => Ok(value),
        _ => Err(format!("must be a finite number of at least 0, it is '{text}'")),
    }
}

/// A finite number above 0.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err(format!("must be a finite number above 0, it is '{text}'")),
    }
}

/// A number from 0 to 1.
pub(crate) fn probability(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err(format!("must be a number from 0 to 1, it is '{text}'")),
    }
}

/// The most pixels of a side.
const MAX_PIXELS: u32 = 1 << 16;

/// A number of pixels.
pub(crate) fn pixels(text: &str) -> Result<usize, String> {
    at_most(text, MAX_PIXELS).map(|pixels| pixels as usize)
}

/// Height and width in pixels, `224x224`, or one number for both.
pub(crate) fn size(text: &str) -> Result<[usize; 2], String> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    match (pixels(height), pixels(width)) {
        (Ok(height), Ok(width)) => Ok([height, width]),
        _ => Err(format!(
            "must be a number of pixels from 1 to {MAX_PIXELS}, or two as in 224x224, it is '{text}'"
        )),
    }
}

/// Parses yes or no, also as other programs write it.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" => Ok(true),
        "no" | "false" | "0" => Ok(false),
        _ => Err(format!("must be yes or no, it is '{text}'")),
    }
}

/// The name of a border.
pub(crate) fn border(text: &str) -> Result<Border, String> {
    match text {
        "zeros" => Ok(Border::Zeros),
        "reflect" => Ok(Border::Reflect),
        "edge" => Ok(Border::Edge),
        _ => Err(names::unknown("border", text, &["zeros", "reflect", "edge"])),
    }
}

/// Brightness, contrast, saturation and hue.
pub(crate) fn color_jitter(text: &str) -> Result<ColorJitter, String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(nonnegative).collect();
    let problem =
        || format!("must be one to four numbers of at least 0, separated by commas, it is '{text}'");
    let numbers = numbers.map_err(|_| problem())?;
    let mut all = [0.0; 4];
    all.get_mut(..numbers.len()).ok_or_else(problem)?.copy_from_slice(&numbers);
    let [brightness, contrast, saturation, hue] = all;
    Ok(ColorJitter { brightness, contrast, saturation, hue })
}

/// The name of a change of samples.
pub(crate) fn change(text: &str) -> Result<&'static str, String> {
    const NAMES: [&str; 10] = [
        "flip",
        "vertical-flip",
        "alternating-flip",
        "crop",
        "rotate",
        "translate",
        "color-jitter",
        "cutout",
        "mixup",
        "cutmix",
    ];
    NAMES.into_iter().find(|name| *name == text).ok_or_else(|| names::unknown("change", text, &NAMES))
}

/// The statistics of a normalization.
pub(crate) fn normalize(text: &str) -> Result<NormalizePlan, String> {
    if text == "computed" {
        return Ok(NormalizePlan::Computed);
    }
    let Some((means, deviations)) = text.split_once('/') else {
        return Published::by_name(text).map(NormalizePlan::Published).ok_or_else(|| {
            let known: Vec<_> = Published::ALL.iter().map(|known| known.name).chain(["computed"]).collect();
            names::unknown("statistics", text, &known)
        });
    };
    let list = |list: &str| -> Result<Vec<f64>, String> {
        let finite = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
        let number = |text: &str| finite(text).ok_or_else(|| format!("'{text}' is not a number"));
        list.split(',').map(number).collect()
    };
    let (means, deviations) = (list(means)?, list(deviations)?);
    if means.len() != deviations.len() {
        let counts = (count_of(means.len(), "mean"), count_of(deviations.len(), "deviation"));
        return Err(format!(
            "there are {} and {}, expected one of each for each channel",
            counts.0, counts.1
        ));
    }
    match deviations.iter().find(|deviation| **deviation <= 0.0) {
        Some(deviation) => Err(format!("a deviation must be above 0, it is {deviation}")),
        None => Ok(NormalizePlan::Given(means, deviations)),
    }
}

/// A finite number.
pub(crate) fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(format!("must be a finite number, it is '{text}'")),
    }
}

/// What makes a number smaller.
pub(crate) fn factor(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        _ => Err(format!("must be a number above 0 and below 1, it is '{text}'")),
    }
}

/// Two learning rates with a comma between.
pub(crate) fn rate_range(text: &str) -> Result<RateRange, String> {
    let parts = text.split_once(',').map(|(from, to)| (from.parse::<f64>(), to.parse::<f64>()));
    match parts {
        Some((Ok(from), Ok(to))) if from > 0.0 && from < to && to.is_finite() => Ok(RateRange { from, to }),
        _ => Err(format!("must be a rate above 0 and a larger one, as 1e-6,10, it is '{text}'")),
    }
}

/// A number of ranks on one machine.
pub(crate) fn ranks(text: &str) -> Result<u32, String> {
    at_most(text, MAX_THREADS)
}

/// A rank's share of the shards, in proportion to the others.
pub(crate) fn weight(text: &str) -> Result<usize, String> {
    match text.parse::<u16>() {
        Ok(value) => Ok(value.into()),
        _ => {
            Err(format!("must be whole numbers from 0 to {}, separated by commas, one is '{text}'", u16::MAX))
        }
    }
}

/// A number of bytes.
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    at_most(text, u32::MAX).map(|bytes| bytes as usize)
}

/// A number of seconds.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=1e6).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("must be a number from 0.001 to 1000000, it is '{text}'")),
    }
}

/// The name of a way to exchange data.
pub(crate) fn transport(text: &str) -> Result<Transport, String> {
    match text {
        "auto" => Ok(Transport::Auto),
        "shm" => Ok(Transport::SharedMemory),
        "tcp" => Ok(Transport::Tcp),
        "mpi" if cfg!(feature = "mpi") => Ok(Transport::Mpi),
        "mpi" => Err("this program was built without MPI, which takes an MPI with headers, libclang, and \
            'cargo build --release -p isograd --features mpi'"
            .to_string()),
        _ => Err(names::unknown("transport", text, &["auto", "shm", "tcp", "mpi"])),
    }
}

/// What to bind each rank to.
pub(crate) fn bind(text: &str) -> Result<Bind, String> {
    match text {
        "cores" => Ok(Bind::Cores),
        "none" => Ok(Bind::None),
        _ => Err(names::unknown("binding", text, &["cores", "none"])),
    }
}

/// A value in a batch script's `#SBATCH` line, where blanks, quotes and `#` have a meaning of their own.
pub(crate) fn slurm_word(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/@+".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => Ok(text.to_string()),
        false => Err(format!("must be a word of letters, digits and -_.,:/@+, it is '{text}'")),
    }
}

/// Parses yes or no.
pub(crate) fn yes(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(names::unknown("answer", text, &["yes", "no"])),
    }
}

/// The name of a network, a file that ends in `.toml`, or the text of one. A name without its last part is
/// enough where it means one network.
pub(crate) fn model(text: &str) -> Result<ModelName, String> {
    // No name has several lines.
    if text.contains('\n') {
        return Ok(ModelName::Text(text.to_string()));
    }
    if Path::new(text).extension().is_some_and(|ending| ending == "toml") {
        return Ok(ModelName::File(PathBuf::from(text)));
    }
    zoo::find(text).map(|model| ModelName::Zoo(model.name)).map_err(|error| match error {
        // There are too many to list them here.
        Error::UnknownName { nearest, .. } => {
            let nearest = nearest.map_or_else(String::new, |name| format!("did you mean '{name}'? "));
            format!("unknown model '{text}'; {nearest}'isograd models' lists all")
        }
        error => error.to_string(),
    })
}

/// The name of a loss, or its usual abbreviation.
pub(crate) fn loss(text: &str) -> Result<&'static str, Error> {
    let name = match text {
        "cce" => "categorical_cross_entropy",
        "bce" => "binary_cross_entropy",
        "mse" => "mean_squared_error",
        "mae" => "mean_absolute_error",
        "hinge" => "categorical_hinge",
        name => name,
    };
    let known = loss::NAMES.into_iter().find(|known| *known == name);
    known.ok_or_else(|| Error::unknown_name("loss", name, &loss::NAMES))
}

/// The name of a metric, or the label that it has in lines of progress.
pub(crate) fn metric(text: &str) -> Result<MetricPlan, Error> {
    MetricPlan::new(match text {
        "acc" | "accuracy" => "categorical_accuracy",
        "hin" => "categorical_hinge",
        "cat_mse" => "categorical_mse",
        "cat_mae" => "categorical_mae",
        "mse" => "regression_mse",
        "mae" => "regression_mae",
        "top5" => "top_5_accuracy",
        "prec" => "precision",
        "rec" => "recall",
        "conf" => "confusion_matrix",
        name => name,
    })
}

/// The name of an instruction-set level. Whether a CPU has it is known where it runs: other hosts may have
/// other levels.
pub(crate) fn isa(text: &str) -> Result<IsaName, String> {
    if text == "auto" {
        return Ok(IsaName::Auto);
    }
    Isa::NAMES.into_iter().find(|name| *name == text).map(IsaName::Level).ok_or_else(|| {
        let known: Vec<_> = ["auto"].into_iter().chain(Isa::NAMES).collect();
        names::unknown("instruction-set level", text, &known)
    })
}

/// The name of an algorithm of convolutions.
pub(crate) fn conv_path(text: &str) -> Result<ConvPath, String> {
    ConvPath::ALL.into_iter().find(|path| path.name() == text).ok_or_else(|| {
        let known = ConvPath::ALL.map(ConvPath::name);
        names::unknown("algorithm of convolutions", text, &known)
    })
}

/// The precision of the factors of convolutions.
pub(crate) fn conv_precision(text: &str) -> Result<Precision, String> {
    match text {
        "full" => Ok(Precision::Full),
        "bfloat16" | "bf16" => Ok(Precision::Bfloat16),
        _ => Err(names::unknown("precision", text, &["full", "bfloat16"])),
    }
}

/// The views of samples in tests.
pub(crate) fn test_time(text: &str) -> Result<TestTime, String> {
    text.parse().map_err(|error: Error| error.to_string())
}

/// The name of a data set, or a path: a text with a slash or a dot, or of something that is there.
pub(crate) fn dataset(text: &str) -> Result<DatasetName, String> {
    let known = Named::names().find(|name| *name == text);
    if let Some((name, set)) = known.and_then(|name| Some((name, Named::by_name(name)?))) {
        return Ok(DatasetName::Named(name, set));
    }
    match text {
        "synthetic" => Ok(DatasetName::Synthetic),
        path if path.contains(['/', '.']) || Path::new(path).exists() => {
            address::path(path.into()).map(DatasetName::Path)
        }
        _ => {
            let known: Vec<_> = Named::names().chain(["synthetic", "a path, such as ./photos"]).collect();
            Err(names::unknown("dataset", text, &known))
        }
    }
}

/// The side of an image in pixels.
pub(crate) fn side(text: &str) -> Result<usize, String> {
    at_most(text, 8192).map(|side| side as usize)
}

/// What a bad image does.
pub(crate) fn on_bad_image(text: &str) -> Result<OnBadImage, String> {
    match text {
        "stop" => Ok(OnBadImage::Stop),
        "skip" => Ok(OnBadImage::Skip),
        _ => Err(names::unknown("answer to bad images", text, &["stop", "skip"])),
    }
}

/// What targets of a table are.
pub(crate) fn targets(text: &str) -> Result<Targets, String> {
    match text {
        "auto" => Ok(Targets::Auto),
        "classes" => Ok(Targets::Classes),
        "numbers" => Ok(Targets::Numbers),
        _ => Err(names::unknown("kind of targets", text, &["auto", "classes", "numbers"])),
    }
}

/// What a missing value of a table is.
pub(crate) fn missing(text: &str) -> Result<Missing, String> {
    match (text, text.parse::<f32>()) {
        ("error", _) => Ok(Missing::Error),
        ("mean", _) => Ok(Missing::Mean),
        (_, Ok(value)) if value.is_finite() => Ok(Missing::Value(value)),
        _ => Err(format!("must be error, mean or a finite number, it is '{text}'")),
    }
}

/// The path of a history file.
pub(crate) fn history(path: PathBuf) -> Result<HistoryFile, String> {
    let format = match path.extension().and_then(|ending| ending.to_str()) {
        Some("csv") => HistoryFormat::Csv,
        Some("jsonl" | "json") => HistoryFormat::JsonLines,
        _ => return Err(format!("must end in .csv, .jsonl or .json, it is '{}'", path.display())),
    };
    Ok(HistoryFile { path, format })
}

/// The path of a file to write, which must not be a folder's.
pub(crate) fn new_file(path: PathBuf) -> Result<PathBuf, String> {
    let named = path.file_name().is_some() && !path.as_os_str().as_encoded_bytes().ends_with(b"/");
    if named { Ok(path) } else { Err(format!("must name a file, it is '{}'", path.display())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_their_ranges_are_refused() {
        for text in ["0", "-1", "1.5", "", "nan", "4294967296"] {
            assert_eq!(
                count(text),
                Err(format!("must be a whole number from 1 to 4294967295, it is '{text}'")),
                "count"
            );
        }
        assert_eq!((count("1"), count("4294967295")), (Ok(1), Ok(u32::MAX)));
        assert!((threads("1024").is_ok(), threads("1025").is_err()) == (true, true));
        assert!((shard_size("4096").is_ok(), shard_size("4097").is_err()) == (true, true));
        for text in ["-0.1", "1", "nan", "inf", "half"] {
            assert!(share(text).unwrap_err().ends_with(&format!("it is '{text}'")), "share of {text}");
        }
        assert_eq!((share("0"), share("0.999")), (Ok(0.0), Ok(0.999)));
        for text in ["-1e-9", "NaN", "inf", "1e999", "x"] {
            assert!(nonnegative(text).is_err(), "nonnegative {text}");
        }
        assert_eq!((nonnegative("0"), nonnegative("1e20")), (Ok(0.0), Ok(1e20)));
        assert!((seed("18446744073709551615").is_ok(), seed("-1").is_err()) == (true, true));
    }

    #[test]
    fn unknown_names_come_with_the_nearest_known_one() {
        assert!(model("simplecn").unwrap_err().contains("did you mean 'simplecnn'?"));
        assert!(dataset("mnits").unwrap_err().contains("did you mean 'mnist'?"));
        assert!(on_bad_image("skp").unwrap_err().contains("did you mean 'skip'?"));
        assert!(targets("class").unwrap_err().contains("known are auto, classes, numbers"));
        assert!(isa("avx").unwrap_err().contains("known are auto, portable, neon, avx2, avx512"));
    }

    #[test]
    fn a_dataset_is_a_name_or_a_path() {
        assert_eq!(dataset("./mnist"), Ok(DatasetName::Path("./mnist".into())));
        assert_eq!(dataset("a.csv"), Ok(DatasetName::Path("a.csv".into())));
        assert!(matches!(dataset("emnist-letters"), Ok(DatasetName::Named("emnist-letters", Named::Idx(_)))));
        assert!(matches!(dataset("cifar100"), Ok(DatasetName::Named("cifar100", Named::Cifar(_)))));
        assert!(dataset("photos").is_err(), "there is no such file beside the sources");
        assert_eq!((missing("-1.5"), missing("mean")), (Ok(Missing::Value(-1.5)), Ok(Missing::Mean)));
        assert!(missing("inf").unwrap_err().contains("finite number, it is 'inf'"));
    }

    #[test]
    fn short_names_mean_the_long_ones() {
        for name in isograd_model::metric::NAMES {
            let long = metric(name).unwrap();
            assert_eq!(metric(long.label()).unwrap(), long, "{}", long.label());
        }
        for (short, long) in [
            ("cce", "categorical_cross_entropy"),
            ("bce", "binary_cross_entropy"),
            ("mse", "mean_squared_error"),
            ("mae", "mean_absolute_error"),
            ("hinge", "categorical_hinge"),
        ] {
            assert_eq!((loss(short).unwrap(), loss(long).unwrap()), (long, long));
        }
    }

    #[test]
    fn levels_that_the_cpu_lacks_are_told_from_unknown_ones() {
        assert_eq!(isa("auto").unwrap().on_this_cpu(), Ok(Isa::best()));
        let missing = Isa::NAMES.into_iter().find(|name| Isa::from_name(name).is_none());
        let missing = missing.expect("no CPU has both neon and avx2");
        let error = isa(missing).unwrap().on_this_cpu().unwrap_err();
        assert!(error.starts_with(&format!("this CPU has no {missing}; it has portable")), "{error}");
    }

    #[test]
    fn the_ending_of_a_history_file_gives_its_format() {
        let format = |text: &str| history(text.into()).map(|file| file.format);
        assert_eq!(format("a/b.csv"), Ok(HistoryFormat::Csv));
        assert_eq!((format("b.jsonl"), format("b.json")), (Ok(HistoryFormat::JsonLines), format("b.jsonl")));
        for text in ["b.txt", "csv", ".csv", ""] {
            assert_eq!(format(text), Err(format!("must end in .csv, .jsonl or .json, it is '{text}'")));
        }
    }

    #[test]
    fn a_folder_is_no_file() {
        for text in ["", "/", "..", "a/..", "a/"] {
            assert_eq!(new_file(text.into()), Err(format!("must name a file, it is '{text}'")));
        }
        assert_eq!(new_file("a/b.st".into()), Ok(PathBuf::from("a/b.st")));
    }
}
