//! Tables in CSV files.

use std::fs;

use isograd_datasets::open::OpenOptions;
use isograd_datasets::table::{Encoding, Missing, Table, TableOptions, Targets};
use isograd_datasets::{Arrays, Dataset, Pixels, Target};

fn read(text: &str, options: &TableOptions) -> Result<Arrays<'static>, String> {
    let table = Table::read("t.csv", text.as_bytes(), options).map_err(|error| error.to_string())?;
    let encoding = Encoding::new(&table, options).map_err(|error| error.to_string())?;
    encoding.samples(&table).map_err(|error| error.to_string())
}

fn label(column: &str) -> TableOptions {
    TableOptions { label: Some(column.to_string()), ..TableOptions::default() }
}

fn floats<'s>(set: &'s Arrays<'_>, index: usize) -> &'s [f32] {
    let Pixels::F32(values) = set.sample(index).pixels else { panic!("a table has floats") };
    values
}

const ANIMALS: &str = "age,colour,kind,weight\n3,red,cat,1.5\n7,\"light, blue\",dog,2\n5,red,cat,-1e1\n";

#[test]
fn columns_become_values_and_classes() {
    let set = read(ANIMALS, &label("kind")).unwrap();
    assert_eq!((set.len(), set.sample_shape(), set.num_classes()), (3, [4, 1, 1], 2));
    assert_eq!(
        (set.class_names(), set.labels()),
        (&["cat".to_string(), "dog".to_string()][..], &[0, 1, 0][..])
    );
    assert_eq!(floats(&set, 0), [3.0, 0.0, 1.0, 1.5]);
    assert_eq!(floats(&set, 1), [7.0, 1.0, 0.0, 2.0]);
    // Mean 5 and variance 8 / 3 of 3, 7 and 5; categories stay 0 and 1.
    let (scale, shift) = (set.normalization().scale(), set.normalization().shift());
    let deviation = (8.0_f64 / 3.0).sqrt();
    assert!((scale[0] - 1.0 / deviation).abs() < 1e-12 && (shift[0] + 5.0 / deviation).abs() < 1e-12);
    assert_eq!((&scale[1..3], &shift[1..3]), (&[1.0, 1.0][..], &[0.0, 0.0][..]));
    assert_eq!(read(ANIMALS, &label("3")).unwrap().labels(), set.labels());
}

#[test]
fn the_first_name_of_a_header_may_be_empty() {
    // As pandas writes a table with the index of its rows.
    let set = read(",age,kind\n0,3,cat\n1,7,dog\n", &TableOptions::default()).unwrap();
    assert_eq!((set.len(), set.sample_shape(), set.class_names().len()), (2, [2, 1, 1], 2));
    let error = read(",age,kind\nx,3,cat\n1,7,dog\n", &TableOptions::default()).unwrap_err();
    assert_eq!(error, "t.csv, line 3, column 1: 1 is a number, the values before it are not");
    // Neither an empty row nor one with a number, nor one of which several values are missing.
    let missing =
        TableOptions { missing: Missing::Mean, label: Some("3".to_string()), ..TableOptions::default() };
    assert_eq!(read(",,\n1,2,a\n", &missing).unwrap_err(), "t.csv, line 1, column 3: the target is missing");
    assert_eq!(read(",5,a\n1,2,b\n", &missing).unwrap().len(), 2);
    assert_eq!(read(",,a\n1,2,b\n", &missing).unwrap().len(), 2);
}

#[test]
fn targets_are_numbers_or_classes() {
    let set = read(ANIMALS, &TableOptions::default()).unwrap();
    assert_eq!((set.num_classes(), set.target_values()), (0, Some(1)));
    assert_eq!(set.sample(2).target, Target::Values(&[-10.0]));
    let text = "1,2\n3,10\n5,2\n";
    let set = read(text, &TableOptions::default()).unwrap();
    assert_eq!((set.labels(), set.class_names()), (&[0, 1, 0][..], &["2".to_string(), "10".to_string()][..]));
    let numbers = TableOptions { targets: Targets::Numbers, ..TableOptions::default() };
    assert_eq!(read(text, &numbers).unwrap().sample(1).target, Target::Values(&[10.0]));
    let many: String = (0..200).map(|row| format!("0.5,{row}\n")).collect();
    assert_eq!(read(&many, &TableOptions::default()).unwrap().target_values(), Some(1));
    let classes = TableOptions { targets: Targets::Classes, ..TableOptions::default() };
    assert_eq!(read(&many, &classes).unwrap().num_classes(), 200);
}

#[test]
fn missing_values_are_errors_or_filled() {
    let text = "a,b,c\n1,x,k\n,y,l\n5,NA,k\n";
    let with = |missing| TableOptions { missing, ..TableOptions::default() };
    assert_eq!(
        read(text, &with(Missing::Error)).unwrap_err(),
        "t.csv, line 3, column 1 ('a'): the value is missing"
    );
    let set = read(text, &with(Missing::Mean)).unwrap();
    assert_eq!([floats(&set, 1), floats(&set, 2)], [[3.0, 0.0, 1.0], [5.0, 0.0, 0.0]]);
    let set = read(text, &with(Missing::Value(-1.0))).unwrap();
    assert_eq!(floats(&set, 1), [-1.0, 0.0, 1.0]);
    let error = read("a,c\n1,k\n2,?\n", &with(Missing::Mean)).unwrap_err();
    assert_eq!(error, "t.csv, line 3, column 2 ('c'): the target is missing");
}

#[test]
fn mistakes_have_a_line_and_a_column() {
    let plain = TableOptions::default();
    for (text, options, expected) in [
        ("a,b\n1,2\n3\n", &plain, "t.csv, line 3, column 1: the line has 1 value, those before it have 2"),
        (
            "a,b\n1,2\n3,4,5\n",
            &plain,
            "t.csv, line 3, column 2: the line has 3 values, those before it have 2",
        ),
        (
            "a,b\n1,2\nred,4\n",
            &plain,
            "t.csv, line 3, column 1 ('a'): 'red' is no number, as the values before it are",
        ),
        (
            "a,b\nred,2\n\n3,4\n",
            &plain,
            "t.csv, line 4, column 1 ('a'): 3 is a number, the values before it are not",
        ),
        ("a,b\ninf,2\n", &plain, "t.csv, line 2, column 1 ('a'): inf is not finite"),
        ("a,b\n,2\n", &plain, "t.csv: column 1 ('a') has no values"),
        ("a,b\n", &plain, "t.csv: has no rows of values"),
        ("", &plain, "t.csv: has no rows of values"),
        ("a\n1\n", &plain, "t.csv: has one column only, which is the target's"),
        (
            "a,b\n1,2\n",
            &label("kind"),
            "t.csv: has no column 'kind'; its columns have the names a, b and the numbers 1 to 2",
        ),
        ("1,2\n", &label("3"), "t.csv: has no column '3'; its columns have no names and the numbers 1 to 2"),
    ] {
        assert_eq!(read(text, options).unwrap_err(), expected);
    }
    assert!(read("a,b\n\u{fffd}", &plain).is_err());
    let many: String = (0..1001).map(|row| format!("t{row},0\n")).collect();
    let header = TableOptions { header: Some(false), ..TableOptions::default() };
    let error = read(&many, &header).unwrap_err();
    assert!(error.contains("column 1 has 1001 different texts, at most 1000 are possible"), "{error}");
}

#[test]
fn the_test_table_means_what_the_training_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("train.csv"), "a,b,c\n1,x,k\n3,y,l\n").unwrap();
    let open = |test: &str| {
        fs::write(path("test.csv"), test).unwrap();
        let options = OpenOptions::default();
        let opened = isograd_datasets::open::open(&path("train.csv"), Some(&path("test.csv")), &options);
        opened.map_err(|error| error.to_string())
    };
    let opened = open("a,b,c\n9,y,l\n").unwrap();
    let test = opened.test.unwrap();
    let mut buffer = isograd_datasets::SampleBuffer::new();
    let sample = test.read(isograd_datasets::Request::new(0), &mut buffer).unwrap();
    assert_eq!((sample.pixels, sample.target), (Pixels::F32(&[9.0, 0.0, 1.0]), Target::Class(1)));
    assert_eq!(test.normalization(), opened.train.normalization());
    for (text, expected) in [
        ("a,b,c\n9,z,l\n", "line 2, column 2 ('b'): 'z' is not in the training table"),
        ("a,b,c\n9,y,m\n", "line 2, column 3 ('c'): class 'm' is not in the training table"),
        ("a,b,d\n9,y,l\n", "has other columns than the training table, which has a, b, c"),
        ("a,b,c\nx,y,l\n", "line 2, column 1 ('a'): 'x' is no number"),
    ] {
        let error = open(text).err().expect("an error");
        assert!(error.contains("test.csv") && error.ends_with(expected), "{error}");
    }
}

proptest::proptest! {
    /// Any text is a table or an error.
    #[test]
    fn any_text_is_a_table_or_an_error(text in "([a-z0-9.,\"\n\r? -]{0,3}|[0-9],[a-z]\n){0,40}", header in proptest::option::of(proptest::bool::ANY)) {
        let options = TableOptions { header, missing: Missing::Mean, ..TableOptions::default() };
        if let Ok(set) = read(&text, &options) {
            proptest::prop_assert!(set.len() > 0);
        }
    }
}
