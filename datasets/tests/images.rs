//! Folders of images, against what Pillow makes of the same files (`golden/images.py`), and bad ones.

#[path = "common/png.rs"]
mod bomb;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use isograd_datasets::augment::{Augmented, CenterCrop, RandomCrop, Resize, ResizedCrop, Transformation};
use isograd_datasets::images::{
    Colour, Fit, ImageFolder, ImageOptions, OnBadImage, Raster, Region, open_parts, resize_region,
};
use isograd_datasets::{Dataset, Normalization, Normalized, Part, Repeated, Request, SampleBuffer, Subset};
use serde_json::Value;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

fn golden() -> Value {
    serde_json::from_slice(&fs::read(Path::new(GOLDEN).join("images.json")).unwrap()).unwrap()
}

fn file(name: &str) -> PathBuf {
    Path::new(GOLDEN).join("images").join(name)
}

fn numbers(value: &Value) -> Vec<u8> {
    value.as_array().unwrap().iter().map(|value| value.as_u64().unwrap() as u8).collect()
}

/// `[H, W, 3]` as `[3, H, W]`.
fn planes(pixels: &[u8]) -> Vec<u8> {
    (0..3).flat_map(|channel| pixels[channel..].iter().step_by(3).copied()).collect()
}

/// A folder with the given files: their paths and which golden file they are.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, name) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(file(name), path).unwrap();
    }
    folder
}

fn pixels(set: &ImageFolder, index: usize) -> Result<Vec<u8>, String> {
    let mut buffer = SampleBuffer::new();
    let sample = set.read(Request::new(index), &mut buffer).map_err(|error| error.to_string())?;
    Ok(sample.pixels.bytes().unwrap().to_vec())
}

fn message(folder: &Path, options: &ImageOptions) -> String {
    open_parts(folder, options).err().expect("an error").to_string()
}

fn skipping(cache: Option<&Path>) -> ImageOptions {
    let cache_folder = cache.map(Path::to_owned);
    ImageOptions { on_bad_image: OnBadImage::Skip, cache_folder, ..ImageOptions::default() }
}

#[test]
fn every_format_is_decoded_as_pillow_does() {
    let golden = golden();
    for (name, expected) in golden["decoded"].as_object().unwrap() {
        let (one, two) = (format!("a/{name}"), format!("b/{name}"));
        let folder = folder(&[(&one, name), (&two, name)]);
        let set = ImageFolder::open(folder.path(), &ImageOptions::default()).unwrap();
        let [width, height] = ["width", "height"].map(|side| expected[side].as_u64().unwrap() as usize);
        assert_eq!(set.sample_shape(), [3, height, width], "{name}");
        let (got, expected) = (pixels(&set, 0).unwrap(), planes(&numbers(&expected["rgb"])));
        let most = got.iter().zip(&expected).map(|(got, expected)| got.abs_diff(*expected)).max().unwrap();
        // Decoders of JPEG round in their own ways, most of all where colours have half the pixels.
        let allowed = match name.as_str() {
            "halved.jpg" | "lossy.webp" => 8,
            name if name.ends_with(".jpg") => 3,
            _ => 0,
        };
        assert!(most <= allowed, "{name} differs by {most}");
    }
}

#[test]
fn images_are_resized_as_pillow_does() {
    let golden = golden();
    let base = &golden["decoded"]["rgb.png"];
    let source = numbers(&base["rgb"]);
    let source = Raster { pixels: &source, height: 17, width: 23, channels: 3 };
    for case in golden["resized"].as_array().unwrap() {
        let [left, top, right, bottom] = [0, 1, 2, 3].map(|index| case["box"][index].as_f64().unwrap());
        let [width, height] = [0, 1].map(|index| case["size"][index].as_u64().unwrap() as usize);
        let region = Region { left, top, width: right - left, height: bottom - top };
        let mut out = vec![0; 3 * width * height];
        resize_region(&source, region, [height, width], &mut out);
        assert_eq!(out, planes(&numbers(&case["rgb"])), "{region:?} to {width} x {height}");
    }
    let folder = folder(&[("a/1.png", "rgb.png"), ("b/1.png", "rgb.png")]);
    let fit = Fit { resize: Some(12), crop: Some(10) };
    let set = ImageFolder::open(folder.path(), &ImageOptions { fit, ..ImageOptions::default() }).unwrap();
    assert_eq!(set.sample_shape(), [3, 10, 10]);
    assert_eq!(pixels(&set, 1).unwrap(), planes(&numbers(&golden["fitted"])));
    let options = ImageOptions { colour: Colour::Grey, ..ImageOptions::default() };
    let set = ImageFolder::open(folder.path(), &options).unwrap();
    assert_eq!((set.sample_shape(), pixels(&set, 0).unwrap()), ([1, 17, 23], numbers(&golden["grey"])));
}

#[test]
fn crops_are_taken_of_whole_images() {
    let folder = folder(&[("a/1.png", "rgb.png"), ("b/1.png", "rgb.png")]);
    let fit = Fit { resize: Some(12), crop: None };
    let set = ImageFolder::open(folder.path(), &ImageOptions { fit, ..ImageOptions::default() }).unwrap();
    let fitted = planes(&numbers(&golden()["fitted"]));
    // The image of 17 x 23 pixels has 12 x 16 when it is resized.
    let choose = |size| {
        assert_eq!(size, [12, 16]);
        [1..11, 3..13]
    };
    let (mut buffer, part) = (SampleBuffer::new(), Part { size: [10, 10], choose: &choose });
    let sample = set.parts().unwrap().read_part(Request::new(0), &part, &mut buffer).unwrap();
    assert_eq!(sample.pixels.bytes().unwrap(), fitted);
    // The same through adapters.
    let subset = Subset::new(&set, 1..2);
    let repeated = Repeated::new(&subset, 3);
    let normalized = Normalized::new(&repeated, Normalization::identity(3)).unwrap();
    let read = |crop: Transformation, epoch| {
        let augmented = Augmented::new(&normalized, 7, [crop]).unwrap();
        assert_eq!(augmented.sample_shape(), [3, 10, 10]);
        let request = Request { index: 2, epoch };
        augmented.read(request, &mut SampleBuffer::new()).unwrap().pixels.bytes().unwrap().to_vec()
    };
    assert_eq!(read(CenterCrop { size: [10, 10] }.into(), 0), fitted);
    // Of 12 rows and 16 columns, not of the 12 columns in the middle.
    let windows: BTreeSet<Vec<u8>> =
        (0..400).map(|epoch| read(RandomCrop::of_size([10, 10]).into(), epoch)).collect();
    assert_eq!(windows.len(), 3 * 7);
    assert!(windows.contains(&fitted));
    let resized = ResizedCrop { area: [1.0, 1.0], aspect: [1.0, 1.0], ..ResizedCrop::new([10, 10]) };
    assert_eq!(read(resized.into(), 0), read(Resize { size: [10, 10] }.into(), 5));
}

#[test]
fn folders_are_classes_and_parts() {
    let folder = folder(&[
        ("train/dog/1.png", "rgb.png"),
        ("train/cat/deep/2.PNG", "rgb.png"),
        ("train/cat/1.jpg", "baseline.jpg"),
        ("valid/dog/1.png", "rgb.png"),
        ("Testing/cat/1.png", "rgb.png"),
    ]);
    fs::write(folder.path().join("train/cat/notes.txt"), "cats").unwrap();
    fs::write(folder.path().join("train/cat/.hidden.png"), "").unwrap();
    let parts = open_parts(folder.path(), &ImageOptions::default()).unwrap();
    assert_eq!(parts.train.class_names(), ["cat", "dog"]);
    let places: Vec<String> = (0..parts.train.len()).map(|index| parts.train.describe(index)).collect();
    for (place, end) in places.iter().zip(["cat/1.jpg)", "dog/1.png)", "cat/deep/2.PNG)"]) {
        assert!(place.ends_with(end), "{place}");
    }
    assert_eq!(places.len(), 3);
    let class =
        |set: &ImageFolder| set.read(Request::new(0), &mut SampleBuffer::new()).unwrap().target.class();
    assert_eq!(class(&parts.validation.unwrap()), Some(1));
    let test = parts.test.unwrap();
    assert_eq!((class(&test), test.num_classes()), (Some(0), 2));
    assert_ne!(test.digest().unwrap(), parts.train.digest().unwrap());
    // A class may be called 'train' where images are in it.
    let vehicles = self::folder(&[("train/1.png", "rgb.png"), ("car/1.png", "rgb.png")]);
    let parts = open_parts(vehicles.path(), &ImageOptions::default()).unwrap();
    assert_eq!(parts.train.class_names(), ["car", "train"]);
}

#[test]
fn every_stretch_has_all_classes() {
    let names: Vec<String> = [("a", 8), ("b", 4), ("c", 2)]
        .iter()
        .flat_map(|(class, count)| (0..*count).map(move |index| format!("{class}/{index}.png")))
        .collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "rgb.png")).collect();
    let folder = folder(&files);
    let set = ImageFolder::open(folder.path(), &ImageOptions::default()).unwrap();
    let mut buffer = SampleBuffer::new();
    for half in [0..7, 7..14] {
        let mut counts = [0; 3];
        for index in half {
            let target = set.read(Request::new(index), &mut buffer).unwrap().target;
            counts[target.class().unwrap() as usize] += 1;
        }
        assert_eq!(counts, [4, 2, 1]);
    }
}

#[test]
fn folders_that_are_no_set_are_refused() {
    let options = ImageOptions::default();
    let one = folder(&[("a/1.png", "rgb.png")]);
    assert!(message(one.path(), &options).contains("has one class only, 'a'"));
    let case = folder(&[("Cat/1.png", "rgb.png"), ("cat/1.png", "rgb.png")]);
    assert!(message(case.path(), &options).contains("'Cat' and 'cat'"));
    let empty = folder(&[("a/1.png", "rgb.png")]);
    fs::create_dir(empty.path().join("b")).unwrap();
    fs::write(empty.path().join("b/readme"), "").unwrap();
    let text = message(empty.path(), &options);
    assert!(text.contains("/b has no images, but 1 other file"), "{text}");
    let flat = folder(&[("1.png", "rgb.png")]);
    assert!(message(flat.path(), &options).contains("has no class folders"));
    let sizes = folder(&[("a/1.png", "rgb.png"), ("b/1.jpg", "turned_6.jpg")]);
    let text = message(sizes.path(), &options);
    assert!(text.contains("a/1.png of 23 x 17 and b/1.jpg of 17 x 23 pixels"), "{text}");
    let unknown =
        folder(&[("train/a/1.png", "rgb.png"), ("train/b/1.png", "rgb.png"), ("test/c/1.png", "rgb.png")]);
    assert!(message(unknown.path(), &options).contains("test/c is of a class that"));
    let beside = folder(&[("train/a/1.png", "rgb.png"), ("train/b/1.png", "rgb.png")]);
    fs::create_dir(beside.path().join("test")).unwrap();
    assert!(message(beside.path(), &options).contains("test has no class folders"));
    fs::copy(file("rgb.png"), beside.path().join("test/1.png")).unwrap();
    assert!(message(beside.path(), &options).contains("test has no class folders"));
    let twice =
        folder(&[("train/a/1.png", "rgb.png"), ("val/b/1.png", "rgb.png"), ("valid/b/1.png", "rgb.png")]);
    assert!(message(twice.path(), &options).contains("'val' and 'valid'"));
    assert!(message(&one.path().join("nowhere"), &options).starts_with("no folder "));
    let crop = ImageOptions { fit: Fit { resize: Some(8), crop: Some(9) }, ..options };
    assert!(message(case.path(), &crop).contains("a crop of 9 pixels"));
}

#[cfg(unix)]
#[test]
fn links_are_followed_unless_they_lead_nowhere_or_back() {
    use std::os::unix::fs::symlink;
    let options = ImageOptions::default();
    let linked = folder(&[("a/1.png", "rgb.png"), ("b/1.png", "rgb.png")]);
    symlink(linked.path().join("b"), linked.path().join("c")).unwrap();
    assert_eq!(ImageFolder::open(linked.path(), &options).unwrap().class_names(), ["a", "b", "c"]);
    symlink(linked.path(), linked.path().join("a/back")).unwrap();
    let text = message(linked.path(), &options);
    assert!(text.contains("a/back is a link to") && text.ends_with("which it lies in"), "{text}");
    let dangling = folder(&[("a/1.png", "rgb.png"), ("b/1.png", "rgb.png")]);
    symlink("gone.png", dangling.path().join("b/2.png")).unwrap();
    let text = message(dangling.path(), &options);
    assert!(text.contains("b/2.png is a link to gone.png, which does not exist"), "{text}");
}

#[test]
fn bad_images_stop_or_are_skipped() {
    let jpeg = fs::read(file("baseline.jpg")).unwrap();
    let png = fs::read(file("rgb.png")).unwrap();
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("bomb.png", bomb::claiming(100_000), ""),
        ("large.png", bomb::claiming(20_000), "20000 x 20000 pixels"),
        ("empty.jpg", Vec::new(), "the file is empty"),
        ("text.png", b"a picture of a cat".to_vec(), "is no JPEG, PNG, WebP or BMP image"),
        ("cut.jpg", jpeg[..jpeg.len() - 100].to_vec(), "JPEG file is truncated"),
        ("cut.png", png[..png.len() - 40].to_vec(), ""),
        ("header.jpg", jpeg[..100].to_vec(), ""),
    ];
    for (name, bytes, part) in cases {
        let folder = folder(&[("a/good.png", "rgb.png"), ("b/good.png", "rgb.png")]);
        let cache = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a").join(name), bytes).unwrap();
        // With a bad header at once, with a bad body when it is read.
        let text = match ImageFolder::open(folder.path(), &ImageOptions::default()) {
            Err(error) => error.to_string(),
            Ok(set) => {
                let bad = (0..3).find(|&index| set.describe(index).contains(name)).unwrap();
                format!("{}: {}", set.describe(bad), pixels(&set, bad).unwrap_err())
            }
        };
        assert!(text.contains(name) && text.contains(part), "{text}");
        for start in 0..2 {
            let set = ImageFolder::open(folder.path(), &skipping(Some(cache.path()))).unwrap();
            assert_eq!((set.len(), set.skipped().len()), (2, 1), "{name}, start {start}");
            assert!(set.skipped()[0].to_string().contains(name));
            assert!(pixels(&set, 0).is_ok());
        }
    }
}

/// Linux lets nobody read the memory of a process from its start, not even the superuser.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_read_is_no_bad_image() {
    let folder = folder(&[("a/1.png", "rgb.png"), ("b/1.png", "rgb.png")]);
    let link = folder.path().join("a/2.png");
    std::os::unix::fs::symlink("/proc/self/mem", &link).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let stopping = ImageOptions { on_bad_image: OnBadImage::Stop, ..skipping(Some(cache.path())) };
    for options in [stopping, skipping(Some(cache.path()))] {
        let text = message(folder.path(), &options);
        assert!(text.starts_with("cannot read ") && text.contains("a/2.png: "), "{text}");
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "an index is kept");
    }
    fs::remove_file(&link).unwrap();
    let set = ImageFolder::open(folder.path(), &skipping(None)).unwrap();
    fs::remove_file(folder.path().join("a/1.png")).unwrap();
    let read = set.read(Request::new(0), &mut SampleBuffer::new()).map(drop);
    assert!(!read.unwrap_err().is_bad_image());
}

#[test]
fn the_index_notices_changes() {
    let folder = folder(&[("a/1.png", "rgb.png"), ("b/1.png", "rgb.png")]);
    let cache = tempfile::tempdir().unwrap();
    let options = ImageOptions { cache_folder: Some(cache.path().join("new")), ..ImageOptions::default() };
    let open = || ImageFolder::open(folder.path(), &options);
    let digest = open().unwrap().digest().unwrap();
    let index = fs::read_dir(cache.path().join("new")).unwrap().next().unwrap().unwrap().path();
    let first = fs::read(&index).unwrap();
    assert_eq!(open().unwrap().digest().unwrap(), digest);
    assert_eq!(fs::read(&index).unwrap(), first);
    // What the index says is believed while the file is the same: here it names another size.
    let at = first.windows(2).rposition(|pair| pair == [17, 23]).expect("height and width");
    let mut forged = first.clone();
    forged[at] = 18;
    fs::write(&index, &forged).unwrap();
    assert!(open().err().unwrap().to_string().contains("23 x 18"));
    // Anything that is no index is read over.
    for broken in [&first[..first.len() / 2], b"", b"isograd-images-0"] {
        fs::write(&index, broken).unwrap();
        assert_eq!(open().unwrap().digest().unwrap(), digest);
    }
    // A file more, a file less, and a file that is another one under the old name.
    fs::copy(file("rgba.png"), folder.path().join("a/2.png")).unwrap();
    assert_eq!(open().unwrap().len(), 3);
    fs::remove_file(folder.path().join("a/2.png")).unwrap();
    assert_eq!(open().unwrap().len(), 2);
    let set = open().unwrap();
    fs::copy(file("turned_6.jpg"), folder.path().join("b/1.png")).unwrap();
    assert!(open().err().unwrap().to_string().contains("different sizes"));
    assert!(pixels(&set, 1).unwrap_err().contains("has changed since training began"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]
    /// Whatever a file holds, it is an image or an error: no panic, and no more memory than the limits allow.
    #[test]
    fn damaged_files_are_errors_or_images(
        which in 0_usize..6,
        cut in 0.0..1.2_f64,
        changes in proptest::collection::vec((0.0..1.0_f64, proptest::num::u8::ANY), 0..6),
    ) {
        let names = ["baseline.jpg", "progressive.jpg", "palette.png", "lossless.webp", "lossy.webp", "palette.bmp"];
        let mut bytes = fs::read(file(names[which])).unwrap();
        bytes.truncate((cut * bytes.len() as f64) as usize);
        for (place, value) in changes {
            let length = bytes.len();
            if let Some(byte) = bytes.get_mut((place * length as f64) as usize) {
                *byte = value;
            }
        }
        let folder = folder(&[("a/1.png", "rgb.png"), ("b/1.png", "rgb.png")]);
        fs::write(folder.path().join("a/2.png"), bytes).unwrap();
        let fit = Fit { resize: Some(5), crop: None };
        let options = ImageOptions { fit, ..skipping(None) };
        let set = ImageFolder::open(folder.path(), &options).unwrap();
        proptest::prop_assert_eq!(set.len() + set.skipped().len(), 3);
        for index in 0..set.len() {
            proptest::prop_assert_eq!(pixels(&set, index).unwrap().len(), 75);
        }
    }
}
