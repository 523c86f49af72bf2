//! Every option of PyDTNN's command line, by its own name.

use super::*;
use crate::cli::plan::{Batch, TrainPlan};
use crate::cli::{Command, Parsed, parse};

/// The plan of `train` with the space-separated `options`, and what is said of them.
fn plan(options: &str) -> Result<TrainPlan, String> {
    let words = ["isograd", "train"].into_iter().chain(options.split_whitespace()).map(OsString::from);
    match parse(words).map_err(|failure| failure.to_string())? {
        Parsed::Command(command) => match *command {
            Command::Train(args) => TrainPlan::try_from(args).map_err(|failure| failure.to_string()),
            other => panic!("{other:?}"),
        },
        Parsed::Text(text) => Err(text),
    }
}

fn words(options: &str) -> String {
    let words: Vec<OsString> =
        ["train"].into_iter().chain(options.split_whitespace()).map(OsString::from).collect();
    let known = CommandOptions::of("train").unwrap();
    let words: Vec<OsString> = crate::cli::spelling::normalize(words);
    let translated = translate(&known, &words).unwrap_or_else(|failure| panic!("{options}: {failure}"));
    translated.words.join(std::ffi::OsStr::new(" ")).into_string().unwrap()
}

/// How an option ends up.
#[derive(Debug, PartialEq)]
enum End {
    /// It has an effect.
    Accepted,
    /// It is said to change nothing.
    Nothing,
    /// It is refused, for this reason.
    Refused(&'static str),
}

use End::{Accepted, Refused};

#[test]
fn every_option_is_accepted_or_refused_with_a_reason() {
    const EARLY: &str = "--lr_schedulers=early_stopping";
    const PLATEAU: &str = "--lr_schedulers=reduce_lr_on_plateau";
    const EVERY: &str = "--lr_schedulers=reduce_lr_every_nepochs";
    const CHECKPOINT: &str = "--checkpoint=runs/x";
    let nothing = End::Nothing;
    for (option, with, end) in [
        ("--model=simplecnn", "", &Accepted),
        ("--batch_size=64", "", &Accepted),
        ("--global_batch_size=64", "", &Accepted),
        ("--dtype=float32", "", &Accepted),
        ("--num_epochs=1", "", &Accepted),
        ("--steps_per_epoch=0", "", &Accepted),
        ("--evaluate=False", "", &Accepted),
        ("--evaluate_only=False", "", &Accepted),
        ("--weights_and_bias_filename=x.safetensors", "", &Accepted),
        ("--history_file=x.csv", "", &Accepted),
        ("--shared_storage=False", "", &nothing),
        ("--enable_fused_bn_relu=True", "", &nothing),
        ("--enable_fused_conv_relu=True", "", &nothing),
        ("--enable_fused_conv_bn=True", "", &nothing),
        ("--enable_fused_conv_bn_relu=True", "", &nothing),
        ("--tensor_format=NHWC", "", &nothing),
        ("--enable_best_of=True", "", &nothing),
        ("--dataset=mnist", "", &Accepted),
        ("--use_synthetic_data=True", "", &Accepted),
        ("--dataset_train_path=x", "", &Accepted),
        ("--dataset_test_path=x", "--dataset_train_path=x", &Accepted),
        ("--test_as_validation=True", "", &Accepted),
        ("--flip_images=True", "", &Accepted),
        ("--flip_images_prob=0.5", "--flip_images", &Accepted),
        ("--crop_images=True", "", &Accepted),
        ("--crop_images_size=16", "--crop_images", &Accepted),
        ("--crop_images_prob=0.5", "--crop_images=yes", &Accepted),
        ("--validation_split=0.2", "", &Accepted),
        ("--optimizer=sgd", "", &Accepted),
        ("--learning_rate=0.01", "", &Accepted),
        ("--learning_rate_scaling=True", "--optimizer=sgd", &Accepted),
        ("--learning_rate_scaling=True", "--optimizer=adam", &nothing),
        ("--momentum=0.9", "--optimizer=sgd", &Accepted),
        ("--decay=0.0", "", &Accepted),
        ("--nesterov=False", "", &Accepted),
        ("--beta1=0.99", "--optimizer=adam", &Accepted),
        ("--beta2=0.999", "--optimizer=nadam", &Accepted),
        ("--epsilon=1e-7", "", &Accepted),
        ("--rho=0.9", "--optimizer=rmsprop", &Accepted),
        ("--loss_func=categorical_cross_entropy", "", &Accepted),
        ("--metrics=categorical_accuracy", "", &Accepted),
        ("--lr_schedulers=early_stopping,reduce_lr_on_plateau,model_checkpoint", "", &nothing),
        ("--warm_up_epochs=5", "--lr_schedulers=warm_up", &Accepted),
        ("--early_stopping_metric=val_categorical_cross_entropy", EARLY, &Accepted),
        ("--early_stopping_patience=10", EARLY, &Accepted),
        ("--reduce_lr_on_plateau_metric=val_categorical_cross_entropy", PLATEAU, &Accepted),
        ("--reduce_lr_on_plateau_factor=.1", PLATEAU, &Accepted),
        ("--reduce_lr_on_plateau_patience=5", PLATEAU, &Accepted),
        ("--reduce_lr_on_plateau_min_lr=0", PLATEAU, &Accepted),
        ("--reduce_lr_every_nepochs_factor=.1", EVERY, &Accepted),
        ("--reduce_lr_every_nepochs_nepochs=5", EVERY, &Accepted),
        ("--reduce_lr_every_nepochs_min_lr=0", EVERY, &Accepted),
        (
            "--stop_at_loss_metric=val_accuracy",
            "--lr_schedulers=stop_at_loss --stop_at_loss_threshold=90",
            &Accepted,
        ),
        ("--stop_at_loss_threshold=0", "--lr_schedulers=stop_at_loss", &Accepted),
        ("--lr_schedulers=stop_at_loss", "", &Refused("stop-at-loss needs a number")),
        ("--model_checkpoint_metric=val_categorical_cross_entropy", CHECKPOINT, &Accepted),
        ("--model_checkpoint_save_freq=2", CHECKPOINT, &Accepted),
        ("--enable_conv_gemm=True", "", &nothing),
        ("--enable_memory_cache=True", "", &nothing),
        ("--enable_conv_winograd=True", "", &nothing),
        ("--mpi_processes=1", "", &nothing),
        ("--threads_per_process=1", "", &Accepted),
        ("--parallel=sequential", "", &Accepted),
        ("--parallel=pipeline", "", &Refused("known are data, sequential")),
        ("--non_blocking_mpi=True", "", &Accepted),
        ("--blocking_mpi", "", &Accepted),
        ("--gpus_per_node=1", "", &nothing),
        ("--enable_gpu=False", "", &Accepted),
        ("--enable_gpu", "", &Refused("--threads N")),
        ("--enable_gpudirect=True", "", &Refused("--threads N")),
        ("--enable_nccl=True", "", &Refused("--threads N")),
        ("--enable_cudnn_auto_conv_alg=True", "", &nothing),
        ("--tracing=False", "", &Accepted),
        ("--tracer_output=x", "", &nothing),
        ("--cpu_speed=4e12", "", &nothing),
        ("--memory_bw=50e9", "", &nothing),
        ("--network_bw=1e9", "", &nothing),
        ("--network_lat=0.5e-6", "", &nothing),
        ("--network_alg=vdg", "", &nothing),
        ("--tau=64", "", &Refused("--accumulate")),
        ("--tau_prime=32", "", &Refused("--accumulate")),
        ("--density=0.01", "", &Refused("--accumulate")),
        ("--optimizer=oktopk", "", &Refused("known are sgd")),
        ("--enable_conv_i2c=True", "", &nothing),
        ("--enable_conv_direct=True", "", &nothing),
        ("--conv_direct_method=x", "", &nothing),
        ("--conv_direct_methods_for_best_of=x", "", &nothing),
        ("--tracer_pmlib_server=127.0.0.1", "", &Refused("power meters")),
        ("--tracer_pmlib_port=6526", "", &Refused("power meters")),
        ("--tracer_pmlib_device=x", "", &Refused("power meters")),
    ] {
        let result = plan(&format!("{with} {option}"));
        match (end, result) {
            (Accepted, Ok(plan)) => assert!(plan.notes.is_empty(), "{option}: {:?}", plan.notes),
            (End::Nothing, Ok(plan)) => assert_eq!(plan.notes.len(), 1, "{option}: {:?}", plan.notes),
            (Refused(reason), Err(error)) => assert!(error.contains(reason), "{option}: {error}"),
            (end, result) => panic!("{option}: {end:?}, but {result:?}"),
        }
    }
}

#[test]
fn options_mean_what_they_meant() {
    let of = |options: &str| plan(options).unwrap_or_else(|error| panic!("{options}: {error}"));
    assert_eq!(of("--batch_size=7 --num_epochs 3").batch, Batch::PerRank(7));
    assert_eq!(of("--steps_per_epoch=5").epoch_samples(2), Some(5 * 2 * 64));
    assert_eq!(of("--steps_per_epoch=0").epoch_samples(2), None);
    assert!(of("--optimizer=SGD --learning_rate_scaling=yes").scale_learning_rate);
    assert!(!of("--optimizer=sgd --learning_rate_scaling=False").scale_learning_rate);
    assert!(of("--non_blocking_mpi").ranks.overlap && of("--blocking_mpi=False").ranks.overlap);
    assert!(!of("--non_blocking_mpi=False").ranks.overlap && !of("--blocking_mpi").ranks.overlap);
    assert_eq!(of("--threads_per_process 3").execution.threads, Some(3));
    assert!(of("--evaluate").evaluate_before && of("--evaluate True").evaluate_before);
    assert!(!of("--evaluate=False").evaluate_before);
    assert!(of("--test_as_validation").test_as_validation);
    for paths in
        ["--dataset_train_path=x --dataset_test_path=x", "--dataset_train_path x --dataset_test_path x"]
    {
        for options in [
            format!("--use_synthetic_data=True {paths}"),
            format!("{paths} --dataset=cifar10 --use_synthetic_data"),
        ] {
            assert_eq!(of(&options).source.name(), "synthetic", "{options}");
        }
    }
    assert_eq!(of("--dataset=imagenet --dataset_train_path=./x").source.name(), "./x");
    assert!(plan("--dataset=imagenet").unwrap_err().starts_with("--dataset=imagenet: it has no files here"));
}

#[test]
fn the_first_loss_is_the_loss() {
    for (list, expected) in [
        (
            "categorical_accuracy,categorical_cross_entropy",
            "train --loss=categorical_cross_entropy --metrics=categorical_accuracy",
        ),
        (
            "categorical_cross_entropy,categorical_accuracy,categorical_hinge",
            "train --loss=categorical_cross_entropy --metrics=categorical_accuracy,categorical_hinge",
        ),
        (
            "categorical_hinge,binary_cross_entropy",
            "train --loss=binary_cross_entropy --metrics=categorical_hinge",
        ),
        ("categorical_hinge", "train --loss=categorical_hinge"),
    ] {
        assert_eq!(words(&format!("--loss_func={list}")), expected);
    }
    assert_eq!(
        plan("--loss_func=categorical_accuracy").unwrap_err(),
        "--loss_func=categorical_accuracy: none of these is a loss"
    );
    let both = plan("--loss_func=categorical_mse,cce --metrics=acc").unwrap();
    assert_eq!(
        both.metrics.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["categorical_mse", "categorical_accuracy"]
    );
}

#[test]
fn the_test_alone_is_another_command() {
    assert_eq!(
        words(
            "--model=simplecnn --evaluate_only=True --num_epochs 3 --weights_and_bias_filename=x.st --optimizer adam --dataset mnist"
        ),
        "evaluate --model=simplecnn --load=x.st --dataset mnist"
    );
    let args = ["isograd", "train", "--evaluate_only", "--batch_size", "64"].map(OsString::from);
    let error = parse(args).unwrap_err().to_string();
    assert_eq!(error, "the following required arguments were not provided: --load <FILE>");
}

#[test]
fn checkpoints_have_a_folder() {
    let plan_of = |options: &str| plan(options).unwrap().checkpoint.map(|checkpoint| checkpoint.folder);
    assert_eq!(plan_of("--lr_schedulers=model_checkpoint"), Some("model-simplecnn".into()));
    assert_eq!(plan_of("--model=simplemlp --lr_schedulers=model_checkpoint"), Some("model-simplemlp".into()));
    assert_eq!(plan_of("--lr_schedulers=model_checkpoint --checkpoint a"), Some("a".into()));
    assert_eq!(plan_of("--lr_schedulers=early_stopping"), None);
}
