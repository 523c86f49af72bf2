//! The validation split in which each class has its share.

use crate::split::SPLIT_SEED;
use crate::{
    Dataset, Error, Request, SampleBuffer, SplitError, Subset, ValidationSplit, epoch_order, validation_split,
};

/// Splits off random samples for validation, of each class its share: as many as [`validation_split`] does in
/// all. Of a class of `n` samples, `fraction * n` validate, rounded up or down. Both parts keep the order of
/// the set.
///
/// The parts depend on nothing but `fraction` and the classes of all samples: every run, seed and rank
/// validates on the same samples, and no sample is in both parts. To know the classes, it reads every sample
/// once.
///
/// ```
/// use isograd_datasets::{Arrays, Dataset, stratified_split};
///
/// // Eight samples of class 0, then four of class 1.
/// let labels: Vec<u32> = (0..12).map(|index| index / 8).collect();
/// let set = Arrays::from_u8(vec![0; 12], labels, [1, 1, 1], 2)?;
/// let validation = stratified_split(&set, 0.25)?.validation;
/// let second = (0..3).filter(|index| validation.place(*index) >= 8).count();
/// assert_eq!((validation.len(), second), (3, 1));
/// # Ok::<(), isograd_datasets::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`validation_split`]; [`SplitError::NoClass`] if a target is no class, and
/// [`SplitError::Unreadable`] if a sample cannot be read.
///
/// # Panics
///
/// If there are more samples than `u32` can index.
pub fn stratified_split(dataset: &dyn Dataset, fraction: f64) -> Result<ValidationSplit<'_>, Error> {
    let count = validation_split(dataset, fraction)?.validation.len();
    let by_class = by_class(dataset)?;
    let counts = shares(&by_class.iter().map(Vec::len).collect::<Vec<_>>(), fraction, count);
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for (class, (members, count)) in (0..).zip(by_class.into_iter().zip(counts)) {
        let mut order = vec![0; members.len()];
        epoch_order(SPLIT_SEED, class, &mut order);
        let (first, last) = order.split_at(members.len() - count);
        for (part, places) in [(&mut train, first), (&mut validation, last)] {
            part.extend(places.iter().map(|place| members[*place as usize]));
        }
    }
    train.sort_unstable();
    validation.sort_unstable();
    Ok(ValidationSplit {
        train: Subset::listed(dataset, train),
        validation: Subset::listed(dataset, validation),
    })
}

/// The samples of each class, in ascending order.
fn by_class(dataset: &dyn Dataset) -> Result<Vec<Vec<u32>>, Error> {
    let mut buffer = SampleBuffer::new();
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); dataset.num_classes()];
    for index in 0..dataset.len() {
        let split = |error: SplitError| Error::Split(error);
        let sample = dataset
            .read(Request::new(index), &mut buffer)
            .map_err(|source| split(SplitError::Unreadable { sample: dataset.describe(index), source }))?;
        let class = sample.target.class().and_then(|class| members.get_mut(class as usize));
        let class = class.ok_or_else(|| split(SplitError::NoClass { sample: dataset.describe(index) }))?;
        class.push(u32::try_from(index).expect("indices are u32"));
    }
    Ok(members)
}

/// How many samples of each class validate, of classes with so many samples: `count` in all. The classes with
/// the largest rests are rounded up, the first one of equal ones.
fn shares(classes: &[usize], fraction: f64, count: usize) -> Vec<usize> {
    let exact = |samples: usize| fraction * samples as f64;
    let mut shares: Vec<usize> = classes.iter().map(|samples| exact(*samples) as usize).collect();
    let rest = |class: &usize| exact(classes[*class]) - shares[*class] as f64;
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by(|a, b| rest(b).total_cmp(&rest(a)));
    let missing = count.saturating_sub(shares.iter().sum());
    for class in order.into_iter().cycle().take(missing) {
        shares[class] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arrays;

    fn places(part: &Subset<'_>) -> Vec<usize> {
        (0..part.len()).map(|index| part.place(index)).collect()
    }

    #[test]
    fn each_class_has_its_share_in_both_parts() {
        // Sorted, and a class that is rare.
        let labels: Vec<u32> = (0..210).map(|index| if index < 200 { index / 100 } else { 2 }).collect();
        let set = Arrays::from_u8(vec![0; 210], labels, [1, 1, 1], 3).unwrap();
        for (fraction, expected) in
            [(0.1, [10, 10, 1]), (0.25, [25, 25, 3]), (0.9, [90, 90, 9]), (0.0, [0; 3])]
        {
            let parts = stratified_split(&set, fraction).unwrap();
            let (train, validation) = (places(&parts.train), places(&parts.validation));
            let of = |range: std::ops::Range<usize>| {
                validation.iter().filter(|place| range.contains(place)).count()
            };
            assert_eq!([of(0..100), of(100..200), of(200..210)], expected, "{fraction}");
            assert!(train.is_sorted() && validation.is_sorted());
            let mut all = [train, validation.clone()].concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..210));
            assert_eq!(places(&stratified_split(&set, fraction).unwrap().validation), validation);
            assert_eq!(validation.len(), validation_split(&set, fraction).unwrap().validation.len());
        }
        // Not simply the last ones of a class.
        assert_ne!(
            places(&stratified_split(&set, 0.1).unwrap().validation)[..10],
            (90..100).collect::<Vec<_>>()
        );
    }

    #[test]
    fn rests_are_rounded_until_the_number_is_right() {
        assert_eq!(shares(&[5, 5, 5, 5], 0.1, 2), [1, 1, 0, 0]);
        assert_eq!(shares(&[8, 4], 0.25, 3), [2, 1]);
        assert_eq!(shares(&[1, 9, 0], 0.5, 5), [1, 4, 0]);
        assert_eq!(shares(&[], 0.5, 0), [0; 0]);
    }

    #[test]
    fn what_has_no_classes_is_refused() {
        let values = Arrays::from_f32_with_values(vec![0.0; 4], vec![0.5; 4], [1, 1, 1], 1).unwrap();
        let message =
            |set: &Arrays<'_>, fraction| stratified_split(set, fraction).err().expect("an error").to_string();
        assert_eq!(
            message(&values, 0.5),
            "sample 0 has no class: a stratified split needs one of each sample"
        );
        let classes = Arrays::from_u8(vec![0; 4], vec![0; 4], [1, 1, 1], 1).unwrap();
        assert_eq!(message(&classes, 0.9), "validation split 0.9 of 4 samples leaves none to train on");
    }
}
