//! How convolutions are computed: on one path, by their shapes, or as a tuner has chosen.

use super::config::CommandOptions;
use super::dtype::Dtype;
use super::parsers;
use crate::failure::Failure;
use crate::system::cpu_model::cpu_model;
use crate::system::text_file;
use clap::Args;
use isograd_kernels::Isa;
use isograd_kernels::conv::Precision;
use isograd_model::file::Tuning;
use isograd_model::layer::ConvPath;
use isograd_model::{Element, Network};
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The options. The comments are what `--help` shows.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConvArgs {
    /// Algorithm of convolutions, where it serves their shapes: auto (which suits the shape), direct,
    /// winograd or im2col. It changes the rounding of results [default: auto; of a saved network: as it was
    /// trained]
    #[arg(long, value_name = "NAME", value_parser = parsers::conv_path)]
    pub(crate) conv: Option<ConvPath>,
    /// Precision of the factors of convolutions: full or bfloat16 (where that is faster; for CPUs with
    /// AVX512-BF16, others are slow with it). Sums, parameters and all else stay float32 [default: full, or
    /// bfloat16 with --dtype bfloat16 at level avx512; of a saved network: as it was trained]
    #[arg(long, value_name = "NAME", value_parser = parsers::conv_precision)]
    pub(crate) conv_precision: Option<Precision>,
    /// Compute each convolution as this file says, which 'isograd tune' writes. It changes the rounding of
    /// results, and is kept in checkpoints
    #[arg(long, value_name = "FILE", value_parser = Tuning::parse, conflicts_with_all = ["conv", "conv_precision"])]
    pub(crate) tuned: Option<Tuning>,
}

/// How convolutions are computed.
#[derive(Debug, Clone)]
pub(crate) struct ConvPlan {
    choice: Choice,
    /// A saved network tells it, and nobody asks for it here.
    is_told: bool,
}

#[derive(Debug, Clone)]
enum Choice {
    Path(ConvPath, Precision),
    Tuned(Arc<Tuning>),
}

impl From<ConvArgs> for ConvPlan {
    fn from(ConvArgs { conv, conv_precision, tuned }: ConvArgs) -> Self {
        let choice = match tuned {
            Some(tuning) => Choice::Tuned(Arc::new(tuning)),
            None => Choice::Path(conv.unwrap_or_default(), conv_precision.unwrap_or_default()),
        };
        Self { choice, is_told: false }
    }
}

impl ConvPlan {
    /// As `args` say, and where they do not, as a saved network was trained: `told`.
    pub(crate) fn or_told(args: ConvArgs, told: Option<ConvArgs>) -> Self {
        let Some(told) = told.filter(|_| args.tuned.is_none()) else { return args.into() };
        // Choices of a tuner are in full precision.
        let is_so = |precision| told.tuned.is_some() && precision == Precision::Full;
        if args.conv.is_none() && args.conv_precision.is_none_or(is_so) {
            return Self { is_told: true, ..told.into() };
        }
        let conv_precision = args.conv_precision.or(told.conv_precision);
        ConvArgs { conv: args.conv.or(told.conv), conv_precision, tuned: None }.into()
    }

    /// `network`, whose convolutions are computed so.
    pub(crate) fn apply<T: Element>(&self, network: Network<T>) -> Result<Network<T>, Failure> {
        let usage = |option: &str, error: isograd_model::Error| Failure::Usage {
            problem: format!("{option}: {error}"),
            hint: (option == "--tuned")
                .then(|| "'isograd tune' measures a network, for images of one size".to_string()),
        };
        match &self.choice {
            // Parameters of another type are not loaded, and that says why.
            Choice::Path(path, _) if self.is_told && T::NAME != f32::NAME => {
                network.with_conv_path(*path, Precision::Full).map_err(|error| usage("--conv", error))
            }
            Choice::Path(path, precision) => {
                network.with_conv_path(*path, *precision).map_err(|error| match error {
                    isograd_model::Error::NoBfloat16 { .. } => usage("--conv-precision", error),
                    error => usage("--conv", error),
                })
            }
            // `warn` says so.
            Choice::Tuned(tuning) if self.is_told && !covers(tuning, &network) => Ok(network),
            Choice::Tuned(tuning) => {
                network.with_conv_table(&tuning.table).map_err(|error| usage("--tuned", error))
            }
        }
    }

    /// Says where choices were measured on something else than they are used on, where the CPU is slow with
    /// them, and where they are not for `network`. They hold on other machines, too: what they cost is time.
    pub(crate) fn warn<T: Element>(
        &self,
        network: &Network<T>,
        dtype: Dtype,
        isa: Isa,
        shard_size: Option<usize>,
    ) {
        match &self.choice {
            Choice::Tuned(tuning) if self.is_told && !covers(tuning, network) => log::warn!(
                "the paths that the network was trained with are not for images of this size: those of its shapes \
                 are taken"
            ),
            Choice::Tuned(tuning) => {
                // Values of a training in bfloat16 are float32 in use.
                let (what, of_values) = match self.is_told {
                    true => ("the paths that the network was trained with", None),
                    false => ("--tuned: the choices", Some(dtype)),
                };
                if let Some(text) = differences(what, tuning, &cpu_model(), of_values, isa, shard_size) {
                    log::warn!("{text}");
                }
                if !self.is_told && dtype.rounds_factors(isa) {
                    log::warn!(
                        "--tuned: convolutions multiply in float32; without it, those that are faster in bfloat16 multiply in it"
                    );
                }
            }
            Choice::Path(path, Precision::Bfloat16) if *path != ConvPath::Direct && !isa.has_bf16() => {
                log::warn!(
                    "convolutions in bfloat16: this CPU has no instructions for it at level {isa} (AVX512-BF16), so they \
                 are slower than with --conv-precision full"
                )
            }
            Choice::Path(..) => {}
        }
    }
}

/// Ranks compare it.
impl fmt::Display for ConvPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.choice {
            Choice::Path(path, Precision::Bfloat16) => write!(f, "{path} in bfloat16"),
            Choice::Path(path, _) => path.fmt(f),
            Choice::Tuned(tuning) => write!(f, "tuned sha256:{}", tuning.digest()),
        }
    }
}

/// Whether there are choices for all convolutions of `network`.
fn covers<T: Element>(tuning: &Tuning, network: &Network<T>) -> bool {
    network.convolutions().iter().all(|convolution| tuning.table.get(&convolution.shape).is_some())
}

/// What `tuning`, which is called `what`, was measured on and is not so here, in words; `None` if all is
/// equal.
fn differences(
    what: &str,
    tuning: &Tuning,
    cpu: &str,
    dtype: Option<Dtype>,
    isa: Isa,
    shard_size: Option<usize>,
) -> Option<String> {
    let dtype = dtype.map(|dtype| dtype.to_string());
    let shard_size = shard_size.map(|samples| samples.to_string());
    let rows = [
        ("isograd", &tuning.version, Some(env!("CARGO_PKG_VERSION"))),
        ("the CPU", &tuning.machine, Some(cpu)),
        ("--isa", &tuning.isa, Some(isa.name())),
        ("--dtype", &tuning.dtype, dtype.as_deref()),
        ("--shard-size", &tuning.shard_size.to_string(), shard_size.as_deref()),
    ];
    let rows = rows.into_iter().filter_map(|(name, measured, here)| {
        here.filter(|here| here != measured).map(|here| format!("{name} {measured} (here {here})"))
    });
    let rows: Vec<String> = rows.collect();
    (!rows.is_empty()).then(|| {
        format!(
            "{what} were measured with {}; they hold here as well, with the bits that they have everywhere, \
             but others may be faster: 'isograd tune' measures",
            rows.join(", ")
        )
    })
}

/// The choices in the file at `path`.
pub(crate) fn read(path: &Path) -> Result<Tuning, String> {
    let text = text_file::read(path).map_err(|error| format!("cannot read: {error}"))?;
    Tuning::parse(&text).map_err(|error| error.to_string())
}

/// Puts the choices themselves into the place of the name of their file, among the `words` of a command with
/// such `options`. So the ranks of a job and a checkpoint have them, and nobody else needs the file.
pub(crate) fn with_text(options: &CommandOptions, words: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    const OPTION: &str = "--tuned";
    if options.find("tuned").is_none() {
        return Ok(words);
    }
    let (mut all, mut words) = (Vec::new(), words.into_iter());
    while let Some(word) = words.next() {
        let name = match word.to_str() {
            Some("--") => {
                all.push(word);
                all.extend(words);
                break;
            }
            Some(OPTION) => words.next(),
            Some(text) => {
                text.strip_prefix(OPTION).and_then(|rest| rest.strip_prefix('=')).map(OsString::from)
            }
            None => None,
        };
        // A text has several lines, as no name of a file has.
        let is_text = |name: &OsString| name.as_encoded_bytes().contains(&b'\n');
        all.push(match name {
            None => word,
            Some(name) => {
                let mut word = OsString::from(format!("{OPTION}="));
                if is_text(&name) {
                    word.push(name);
                } else {
                    let path = Path::new(&name);
                    let usage = |problem| Failure::Usage {
                        problem: format!("{OPTION} {}: {problem}", path.display()),
                        hint: None,
                    };
                    word.push(read(path).map_err(usage)?.to_toml());
                }
                word
            }
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_model::layer::ConvTable;

    fn tuning() -> Tuning {
        Tuning {
            version: env!("CARGO_PKG_VERSION").to_string(),
            model: "net".to_string(),
            machine: "a CPU".to_string(),
            isa: Isa::best().name().to_string(),
            dtype: "float32".to_string(),
            threads: 1,
            batch_size: 64,
            shard_size: 32,
            table: ConvTable::new(),
        }
    }

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_file_is_read_where_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        let text = tuning().to_toml();
        std::fs::write(&path, format!("# by hand\n{text}")).unwrap();
        let name = path.to_str().unwrap();
        let options = CommandOptions::of("train").unwrap();
        let with_text = |line: &[&str]| with_text(&options, words(line)).map_err(|error| error.to_string());
        let expected = words(&["--seed", "3", &format!("--tuned={text}"), "--hash"]);
        let equals = format!("--tuned={name}");
        for line in [&["--seed", "3", "--tuned", name, "--hash"][..], &["--seed", "3", &equals, "--hash"]] {
            assert_eq!(with_text(line), Ok(expected.clone()));
        }
        let read: Vec<&str> = expected.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(with_text(&read), Ok(expected.clone()), "a text stays as it is");
        assert_eq!(with_text(&["--tuned"]), Ok(words(&["--tuned"])), "the parser says what is missing");
        assert_eq!(with_text(&["--", "--tuned", name]), Ok(words(&["--", "--tuned", name])));
        let missing = with_text(&["--tuned", "/nowhere/x.toml"]).unwrap_err();
        assert!(missing.starts_with("--tuned /nowhere/x.toml: cannot read: "), "{missing}");
        std::fs::write(&path, "format = 1\nversion = 3").unwrap();
        let problem = with_text(&["--tuned", name]).unwrap_err();
        assert_eq!(problem, format!("--tuned {name}: line 2, column 11: 'version' must be a text, it is 3"));
    }

    #[test]
    fn other_machines_are_named() {
        let of = |tuning: &Tuning, shard_size| {
            differences("they", tuning, "a CPU", Some(Dtype::F32), Isa::best(), shard_size)
                .unwrap_or_default()
        };
        assert_eq!(of(&tuning(), Some(32)), "");
        assert_eq!(of(&tuning(), None), "");
        let other = Tuning { machine: "another CPU".to_string(), dtype: "float64".to_string(), ..tuning() };
        let text = of(&other, Some(16));
        let start = "they were measured with the CPU another CPU (here a CPU), --dtype float64 (here \
                     float32), --shard-size 32 (here 16); they hold here as well";
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn what_is_given_goes_before_what_is_told() {
        let told = || Some(ConvArgs { tuned: Some(tuning()), ..ConvArgs::default() });
        let of = |args, told| ConvPlan::or_told(args, told).to_string();
        let tuned_digest = format!("tuned sha256:{}", tuning().digest());
        assert_eq!(of(ConvArgs::default(), None), "auto");
        assert_eq!(of(ConvArgs::default(), told()), tuned_digest);
        let direct = || ConvArgs { conv: Some(ConvPath::Direct), ..ConvArgs::default() };
        let precise = |precision| ConvArgs { conv_precision: Some(precision), ..ConvArgs::default() };
        let rounded = || precise(Precision::Bfloat16);
        assert_eq!(of(direct(), told()), "direct");
        assert_eq!(of(rounded(), told()), "auto in bfloat16");
        assert_eq!(of(ConvArgs::default(), Some(rounded())), "auto in bfloat16");
        let winograd = || Some(ConvArgs { conv: Some(ConvPath::Winograd), ..rounded() });
        assert_eq!(of(direct(), winograd()), "direct in bfloat16", "each option for itself");
        assert_eq!(of(precise(Precision::Full), winograd()), "winograd");
        assert_eq!(of(precise(Precision::Full), told()), tuned_digest, "choices are in full precision");
        let tuned = ConvArgs { tuned: Some(tuning()), ..ConvArgs::default() };
        assert_eq!(of(tuned, winograd()), tuned_digest);
    }
}
