//! Layout transforms for images of MNIST and CIFAR: the gather of a shard's bytes, and f32 images to and from
//! `[C, H, W, N]`.

use isograd_benches::{Buffer, Suite, Work, assert_close, integers};
use isograd_kernels::Isa;
use isograd_kernels::layout::{
    Channels, Scaling, chwn_to_nchw, chwn_to_nhwc, gather_u8, nchw_to_chwn, nhwc_to_chwn,
};

/// `n` images of `c` channels.
#[derive(Clone, Copy)]
struct Images {
    name: &'static str,
    c: usize,
    pixels: usize,
    n: usize,
}

const IMAGES: [Images; 2] = [
    Images { name: "mnist", c: 1, pixels: 28 * 28, n: 32 },
    Images { name: "cifar", c: 3, pixels: 32 * 32, n: 32 },
];

impl Images {
    fn len(self) -> usize {
        self.c * self.pixels * self.n
    }

    /// The index of channel `c`, pixel `p` and sample `i` in `[C, pixels, N]`, `[N, C, pixels]` or
    /// `[N, pixels, C]`.
    fn index(self, layout: Layout, c: usize, p: usize, i: usize) -> usize {
        match layout {
            Layout::Chwn => (c * self.pixels + p) * self.n + i,
            Layout::Nchw => (i * self.c + c) * self.pixels + p,
            Layout::Nhwc => (i * self.pixels + p) * self.c + c,
        }
    }

    /// Every combination of a channel, a pixel and a sample.
    fn places(self) -> impl Iterator<Item = [usize; 3]> {
        let Self { pixels, n, .. } = self;
        (0..self.len()).map(move |at| [at / n / pixels, at / n % pixels, at % n])
    }
}

#[derive(Clone, Copy)]
enum Layout {
    Chwn,
    Nchw,
    Nhwc,
}

type Transform = (&'static str, fn(Isa, usize, usize, usize, &[f32], &mut [f32]), Layout, Layout);

const TRANSFORMS: [Transform; 4] = [
    ("nchw to chwn", nchw_to_chwn, Layout::Nchw, Layout::Chwn),
    ("nhwc to chwn", nhwc_to_chwn, Layout::Nhwc, Layout::Chwn),
    ("chwn to nchw", chwn_to_nchw, Layout::Chwn, Layout::Nchw),
    ("chwn to nhwc", chwn_to_nhwc, Layout::Chwn, Layout::Nhwc),
];

fn transforms(suite: &mut Suite, isa: Isa, images: Images) {
    let Images { name: set, c, pixels, n } = images;
    for (name, kernel, from, to) in TRANSFORMS {
        let work = Work::streams(images.len(), 2, 2);
        suite.kernel(isa, &format!("{name} {set} {c}x{pixels} n={n}"), work, || {
            let (x, mut y) = (integers(images.len(), 1), Buffer::zeroed(images.len()));
            kernel(isa, c, pixels, n, &x, &mut y);
            let mut expected = vec![0.0; images.len()];
            for [c, p, i] in images.places() {
                expected[images.index(to, c, p, i)] = f64::from(x[images.index(from, c, p, i)]);
            }
            assert_close(name, &y, &expected, 0.0);
            move || kernel(isa, c, pixels, n, &x, &mut y)
        });
    }
}

/// The samples lie one after the other, as in a data set, and are taken in another order.
fn gather(suite: &mut Suite, isa: Isa, images: Images) {
    let Images { name: set, c, pixels, n } = images;
    let bytes = images.len() * (size_of::<u8>() + size_of::<f32>());
    let work = Work::Bytes { moved: bytes, footprint: bytes };
    suite.kernel(isa, &format!("gather u8 {set} {c}x{pixels} n={n}"), work, || {
        let samples: Vec<u8> = (0..images.len()).map(|at| (at * 37 % 251) as u8).collect();
        let (scale, shift) = (vec![0.5; c], vec![-1.0; c]);
        let mut y = Buffer::zeroed(images.len());
        let order = move |i: usize| i * 5 % n;
        let run = move |samples: &[u8], y: &mut [f32]| {
            let sample = |i| &samples[order(i) * c * pixels..][..c * pixels];
            let scaling = Scaling { scale: &scale, shift: &shift };
            gather_u8(isa, Channels::First, pixels, n, scaling, sample, y);
        };
        run(&samples, &mut y);
        let pixel = |[c, p, i]: [usize; 3]| samples[images.index(Layout::Nchw, c, p, order(i))];
        let expected: Vec<f64> = images.places().map(|at| 0.5 * f64::from(pixel(at)) - 1.0).collect();
        assert_close("gather", &y, &expected, 0.0);
        move || run(&samples, &mut y)
    });
}

fn main() {
    let mut suite = Suite::new("layout");
    for isa in suite.levels() {
        for images in IMAGES {
            gather(&mut suite, isa, images);
            transforms(&mut suite, isa, images);
        }
    }
    suite.finish();
}
