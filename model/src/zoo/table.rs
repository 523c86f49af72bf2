//! The table of all networks.

use super::Model;
use super::densenet::Densenet;
use super::mobilenet::Size;
use super::resnet::{Resnet, Stem, Unit};
use super::small::Regularisation;
use super::vgg::Vgg;
use super::{alexnet, fast, googlenet, inception, mobilenet, small};
use crate::layer::Layers;
use crate::shape::Shape;
use isograd_kernels::Element;

/// A family of networks, and which one of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Family {
    Simplecnn,
    Simplemlp,
    /// With so many stages.
    SmallVgg(usize, Regularisation),
    Alexnet(Variant),
    Vgg(Vgg),
    Resnet(Resnet),
    Densenet(Densenet),
    Googlenet(Variant),
    Inception(Variant),
    MobilenetV1(Size),
    MobilenetV2(Size),
    Resnet9,
    Airbench94,
}

/// Which network of a family that has few.
#[derive(Debug, Clone, Copy)]
pub(super) enum Variant {
    /// As the paper has it.
    Published,
    /// As torchvision has it.
    Torchvision,
    /// For images of 32x32.
    Small,
}

impl Family {
    pub(super) fn layers<T: Element>(self, input: Shape, classes: usize) -> Layers<T> {
        match self {
            Self::Simplecnn => small::simplecnn(input, classes),
            Self::Simplemlp => small::simplemlp(input, classes),
            Self::SmallVgg(stages, regularisation) => {
                small::small_vgg(stages, regularisation, input, classes)
            }
            Self::Alexnet(Variant::Published) => alexnet::published(input, classes),
            Self::Alexnet(Variant::Torchvision) => alexnet::torchvision(input, classes),
            Self::Alexnet(Variant::Small) => alexnet::small(input, classes),
            Self::Vgg(vgg) => vgg.layers(input, classes),
            Self::Resnet(resnet) => resnet.layers(input, classes),
            Self::Densenet(densenet) => densenet.layers(input, classes),
            Self::Googlenet(Variant::Small) => googlenet::small(input, classes),
            Self::Googlenet(_) => googlenet::large(input, classes),
            Self::Inception(Variant::Small) => inception::small(input, classes),
            Self::Inception(_) => inception::large(input, classes),
            Self::MobilenetV1(size) => mobilenet::v1(size, input, classes),
            Self::MobilenetV2(size) => mobilenet::v2(size, input, classes),
            Self::Resnet9 => fast::resnet9(input, classes),
            Self::Airbench94 => fast::airbench94(input, classes),
        }
    }
}

/// Convolutions of each stage.
const VGG11: [usize; 5] = [1, 1, 2, 2, 2];
const VGG16: [usize; 5] = [2, 2, 3, 3, 3];
const VGG19: [usize; 5] = [2, 2, 4, 4, 4];

const fn vgg(stages: [usize; 5], normalises: bool, hidden: usize, pooled: usize) -> Family {
    Family::Vgg(Vgg { stages, normalises, hidden, pooled })
}

const fn resnet(unit: Unit, stem: Stem, width: usize, stages: [usize; 4]) -> Family {
    Family::Resnet(Resnet { unit, stem, width, stages })
}

const fn densenet(growth: usize, start: usize, blocks: [usize; 4], bottleneck: bool, large: bool) -> Family {
    Family::Densenet(Densenet { growth, start, blocks, bottleneck, large })
}

const fn model(
    name: &'static str,
    [c, h, w]: [usize; 3],
    classes: usize,
    family: Family,
    source: &'static str,
) -> Model {
    Model { name, input: Shape { c, h, w }, classes, source, family }
}

const MNIST: [usize; 3] = [1, 28, 28];
const CIFAR: [usize; 3] = [3, 32, 32];
const IMAGENET: [usize; 3] = [3, 224, 224];
const ALEXNET: [usize; 3] = [3, 227, 227];

/// All networks.
#[rustfmt::skip]
pub static ALL: [Model; 55] = [
    model("simplecnn", MNIST, 10, Family::Simplecnn, "two convolutions and two dense layers"),
    model("simplemlp", MNIST, 10, Family::Simplemlp, "four dense layers"),
    model("vgg1", CIFAR, 10, Family::SmallVgg(1, Regularisation::None), "Brownlee: How to develop a CNN for CIFAR-10, 2019"),
    model("vgg2", CIFAR, 10, Family::SmallVgg(2, Regularisation::None), "Brownlee: How to develop a CNN for CIFAR-10, 2019"),
    model("vgg3", CIFAR, 10, Family::SmallVgg(3, Regularisation::None), "Brownlee: How to develop a CNN for CIFAR-10, 2019"),
    model("vgg3do", CIFAR, 10, Family::SmallVgg(3, Regularisation::Dropout), "Brownlee: How to develop a CNN for CIFAR-10, 2019"),
    model("vgg3do2", CIFAR, 10, Family::SmallVgg(3, Regularisation::GrowingDropout), "Brownlee: How to develop a CNN for CIFAR-10, 2019"),
    model("vgg3dobn", CIFAR, 10, Family::SmallVgg(3, Regularisation::GrowingDropoutAndBatchNormalization), "Brownlee: How to develop a CNN for CIFAR-10, 2019"),
    model("alexnet_cifar10", CIFAR, 10, Family::Alexnet(Variant::Small), "Krizhevsky et al. 2012, smaller strides"),
    model("vgg11_cifar10", CIFAR, 10, vgg(VGG11, false, 512, 1), "Simonyan, Zisserman 2015, dense layers of 512"),
    model("vgg11bn_cifar10", CIFAR, 10, vgg(VGG11, true, 512, 1), "Simonyan, Zisserman 2015, dense layers of 512"),
    model("vgg16_cifar10", CIFAR, 10, vgg(VGG16, false, 512, 1), "Simonyan, Zisserman 2015, dense layers of 512"),
    model("vgg16bn_cifar10", CIFAR, 10, vgg(VGG16, true, 512, 1), "Simonyan, Zisserman 2015, dense layers of 512"),
    model("resnet18_cifar10", CIFAR, 10, resnet(Unit::Basic, Stem::Small, 64, [2, 2, 2, 2]), "He et al. 2016, 3x3 in front"),
    model("resnet34_cifar10", CIFAR, 10, resnet(Unit::Basic, Stem::Small, 64, [3, 4, 6, 3]), "He et al. 2016, 3x3 in front"),
    model("resnet50_cifar10", CIFAR, 10, resnet(Unit::Bottleneck, Stem::Small, 64, [3, 4, 6, 3]), "He et al. 2016, 3x3 in front"),
    model("resnet101_cifar10", CIFAR, 10, resnet(Unit::Bottleneck, Stem::Small, 64, [3, 4, 23, 3]), "He et al. 2016, 3x3 in front"),
    model("resnet152_cifar10", CIFAR, 10, resnet(Unit::Bottleneck, Stem::Small, 64, [3, 8, 36, 3]), "He et al. 2016, 3x3 in front"),
    model("resnet20_cifar10", CIFAR, 10, resnet(Unit::Basic, Stem::Small, 16, [3, 3, 3, 0]), "He et al. 2016, section 4.2"),
    model("resnet32_cifar10", CIFAR, 10, resnet(Unit::Basic, Stem::Small, 16, [5, 5, 5, 0]), "He et al. 2016, section 4.2"),
    model("resnet44_cifar10", CIFAR, 10, resnet(Unit::Basic, Stem::Small, 16, [7, 7, 7, 0]), "He et al. 2016, section 4.2"),
    model("resnet56_cifar10", CIFAR, 10, resnet(Unit::Basic, Stem::Small, 16, [9, 9, 9, 0]), "He et al. 2016, section 4.2"),
    model("resnet110_cifar10", CIFAR, 10, resnet(Unit::Basic, Stem::Small, 16, [18, 18, 18, 0]), "He et al. 2016, section 4.2"),
    model("resnet1202_cifar10", CIFAR, 10, resnet(Unit::Basic, Stem::Small, 16, [200, 200, 200, 0]), "He et al. 2016, section 4.2"),
    model("densenet_cifar10", CIFAR, 10, densenet(12, 16, [12, 12, 12, 0], false, false), "Huang et al. 2017, 40 layers"),
    model("densenet121_cifar10", CIFAR, 10, densenet(32, 64, [6, 12, 24, 16], true, false), "Huang et al. 2017, 3x3 in front"),
    model("densenet161_cifar10", CIFAR, 10, densenet(48, 96, [6, 12, 36, 24], true, false), "Huang et al. 2017, 3x3 in front"),
    model("densenet169_cifar10", CIFAR, 10, densenet(32, 64, [6, 12, 32, 32], true, false), "Huang et al. 2017, 3x3 in front"),
    model("densenet201_cifar10", CIFAR, 10, densenet(32, 64, [6, 12, 48, 32], true, false), "Huang et al. 2017, 3x3 in front"),
    model("googlenet_cifar10", CIFAR, 10, Family::Googlenet(Variant::Small), "Szegedy et al. 2015, 3x3 in front"),
    model("inceptionv3_cifar10", CIFAR, 10, Family::Inception(Variant::Small), "Szegedy et al. 2016, full size in front"),
    model("mobilenetv1_cifar10", CIFAR, 10, Family::MobilenetV1(Size::Small), "Howard et al. 2017, smaller strides"),
    model("mobilenetv2_cifar10", CIFAR, 10, Family::MobilenetV2(Size::Small), "Sandler et al. 2018, smaller strides"),
    model("resnet9_cifar10", CIFAR, 10, Family::Resnet9, "Page 2018 (DAWNBench)"),
    model("airbench94_cifar10", CIFAR, 10, Family::Airbench94, "Jordan 2024"),
    model("alexnet", ALEXNET, 1000, Family::Alexnet(Variant::Published), "Krizhevsky et al. 2012, as published"),
    model("alexnet_imagenet", ALEXNET, 1000, Family::Alexnet(Variant::Torchvision), "Krizhevsky 2014, as in torchvision"),
    model("vgg11", IMAGENET, 1000, vgg(VGG11, false, 4096, 7), "Simonyan, Zisserman 2015"),
    model("vgg11_imagenet", IMAGENET, 1000, vgg(VGG11, false, 4096, 7), "Simonyan, Zisserman 2015"),
    model("vgg16", IMAGENET, 1000, vgg(VGG16, false, 4096, 7), "Simonyan, Zisserman 2015"),
    model("vgg16_imagenet", IMAGENET, 1000, vgg(VGG16, false, 4096, 7), "Simonyan, Zisserman 2015"),
    model("vgg19_imagenet", IMAGENET, 1000, vgg(VGG19, false, 4096, 7), "Simonyan, Zisserman 2015"),
    model("resnet18_imagenet", IMAGENET, 1000, resnet(Unit::Basic, Stem::Large, 64, [2, 2, 2, 2]), "He et al. 2016"),
    model("resnet34_imagenet", IMAGENET, 1000, resnet(Unit::Basic, Stem::Large, 64, [3, 4, 6, 3]), "He et al. 2016"),
    model("resnet50_imagenet", IMAGENET, 1000, resnet(Unit::Bottleneck, Stem::Large, 64, [3, 4, 6, 3]), "He et al. 2016"),
    model("resnet101_imagenet", IMAGENET, 1000, resnet(Unit::Bottleneck, Stem::Large, 64, [3, 4, 23, 3]), "He et al. 2016"),
    model("resnet152_imagenet", IMAGENET, 1000, resnet(Unit::Bottleneck, Stem::Large, 64, [3, 8, 36, 3]), "He et al. 2016"),
    model("resnet50v15_imagenet", IMAGENET, 1000, resnet(Unit::LateBottleneck, Stem::Large, 64, [3, 4, 6, 3]), "He et al. 2016, stride in the 3x3 convolution, as in torchvision"),
    model("densenet121_imagenet", IMAGENET, 1000, densenet(32, 64, [6, 12, 24, 16], true, true), "Huang et al. 2017"),
    model("densenet161_imagenet", IMAGENET, 1000, densenet(48, 96, [6, 12, 36, 24], true, true), "Huang et al. 2017"),
    model("densenet169_imagenet", IMAGENET, 1000, densenet(32, 64, [6, 12, 32, 32], true, true), "Huang et al. 2017"),
    model("densenet201_imagenet", IMAGENET, 1000, densenet(32, 64, [6, 12, 48, 32], true, true), "Huang et al. 2017"),
    model("googlenet_imagenet", IMAGENET, 1000, Family::Googlenet(Variant::Torchvision), "Szegedy et al. 2015, as in torchvision"),
    model("inceptionv3_imagenet", IMAGENET, 1000, Family::Inception(Variant::Torchvision), "Szegedy et al. 2016, as in torchvision"),
    model("mobilenetv2_imagenet", IMAGENET, 1000, Family::MobilenetV2(Size::Large), "Sandler et al. 2018, as in torchvision"),
];
