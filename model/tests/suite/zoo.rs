//! The networks of the zoo: what they are made of, and that their gradients go all the way.

use crate::common::build;
use isograd_kernels::Isa;
use isograd_model::layer::{Mode, Tensor};
use isograd_model::loss::CategoricalCrossEntropy;
use isograd_model::{Error, Initializer, Network, Randomness, Shape, zoo};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn network(model: &zoo::Model) -> Network<f32> {
    build(model.layers(model.input, model.classes))
}

/// Names, shapes and numbers of all parameters, from `golden/zoo.json`, which `golden/zoo.py` wrote.
#[test]
fn networks_of_torchvision_have_its_parameters() {
    let golden: Value = serde_json::from_str(include_str!("../golden/zoo.json")).expect("valid JSON");
    let golden = golden.as_object().expect("a table");
    assert_eq!(golden.len(), 28);
    for (name, expected) in golden {
        let network = network(zoo::find(name).expect("a known name"));
        let line = |name: &str, dims: &[usize]| {
            dims.iter().fold(name.to_string(), |line, dim| format!("{line} {dim}"))
        };
        let mut lines: Vec<String> =
            network.parameters().iter().map(|tensor| line(&tensor.name, &tensor.dims)).collect();
        lines.sort_unstable();
        let digest: String =
            Sha256::digest(lines.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(expected["parameters"], network.parameter_count(), "{name}");
        assert_eq!(expected["sha256"], digest, "{name} has the tensors\n{}", lines.join("\n"));
    }
}

/// The numbers of the papers and of the authors' programs, in millions, as many digits as they give.
#[test]
fn other_networks_have_as_many_parameters_as_their_papers_say() {
    for (name, millions, half_a_digit) in [
        ("alexnet", 60.97, 0.005),
        ("vgg16_cifar10", 15.2, 0.05),
        ("resnet20_cifar10", 0.27, 0.005),
        // The shortcuts with parameters add 2,800.
        ("resnet32_cifar10", 0.46, 0.0075),
        ("resnet44_cifar10", 0.66, 0.0075),
        ("resnet56_cifar10", 0.85, 0.0075),
        ("resnet110_cifar10", 1.7, 0.05),
        ("resnet1202_cifar10", 19.4, 0.05),
        ("densenet_cifar10", 1.0, 0.05),
        ("mobilenetv1_cifar10", 3.2, 0.05),
        ("resnet9_cifar10", 6.57, 0.005),
        ("airbench94_cifar10", 1.97, 0.005),
        ("vgg3", 0.55, 0.005),
    ] {
        let count = network(zoo::find(name).expect("a known name")).parameter_count() as f64 / 1e6;
        assert!((count - millions).abs() <= half_a_digit, "{name} has {count} million parameters");
    }
}

#[test]
fn every_network_of_the_prior_art_is_there() {
    assert_eq!(zoo::ALL.len(), 55);
    let mut names: Vec<&str> = zoo::ALL.iter().map(|model| model.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), zoo::ALL.len(), "names are unique");
    for model in &zoo::ALL {
        let network = network(model);
        assert_eq!(network.input_shape(), model.input, "{}", model.name);
        assert_eq!(network.output_shape(), Shape::vector(model.classes), "{}", model.name);
        assert!(network.multiply_adds() > network.parameter_count() as u64 / 2, "{}", model.name);
        let [train, eval] = [Mode::Train, Mode::Eval].map(|mode| network.shard_bytes(mode, 2));
        assert!(eval < train, "{}: {eval} bytes in use, {train} in training", model.name);
    }
}

#[test]
fn names_may_leave_out_their_last_part() {
    assert_eq!(zoo::find("resnet20").expect("one network").name, "resnet20_cifar10");
    assert_eq!(zoo::find("vgg16").expect("a network").name, "vgg16");
    let error = zoo::find("resnet18").expect_err("two networks");
    assert!(matches!(error, Error::AmbiguousName { .. }));
    assert_eq!(error.to_string(), "the model 'resnet18' can be resnet18_cifar10, resnet18_imagenet");
    let error = zoo::find("resnet21_cifar10").expect_err("no network").to_string();
    assert!(error.starts_with("unknown model 'resnet21_cifar10'"), "{error}");
}

/// One pass through every small network: each parameter gets a gradient, and none is NaN.
#[test]
fn every_parameter_of_a_network_for_small_images_has_a_gradient() {
    for model in zoo::ALL.iter().filter(|model| model.input.w <= 32 && model.name != "resnet1202_cifar10") {
        let network = network(model);
        let mut state = network.initial_state(1).expect("memory");
        // A last layer that begins with zeros hands nothing back to the others before the first step.
        let is_zero = |tensor: &&Tensor| tensor.initializer == Initializer::Zeros && tensor.dims.len() > 1;
        for tensor in network.parameters().iter().filter(is_zero) {
            let values = crate::common::values(4, 2, tensor.range.len(), 0.1);
            state.params_mut()[tensor.range.clone()].copy_from_slice(&values);
        }
        let n = 2;
        let x = crate::common::values(3, 1, network.input_shape().elements() * n, 1.0);
        let (loss, gradients) = network.loss_and_gradients(
            &state,
            Isa::best(),
            &CategoricalCrossEntropy::new(),
            Randomness::default(),
            &x,
            &[3, 7],
        );
        assert!(loss.is_finite(), "{}: a loss of {loss}", model.name);
        for tensor in network.parameters() {
            let gradient = &gradients[tensor.range.clone()];
            assert!(gradient.iter().all(|g| g.is_finite()), "{}: {}", model.name, tensor.name);
            // A ReLU can cut off a filter, but not a whole tensor of weights.
            let has_any = gradient.iter().any(|g| *g != 0.0);
            assert!(has_any || tensor.dims.len() == 1, "{}: {} has no gradient", model.name, tensor.name);
        }
    }
}
