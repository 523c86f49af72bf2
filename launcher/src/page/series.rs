//! Long series of points: thinned to what a chart can show, and smoothed.

/// A point of a chart, x and y. A y that is not finite interrupts a line.
pub(crate) type Point = (f64, f64);

/// Points of a line, at most.
pub(crate) const MOST_POINTS: usize = 400;
/// Shorter series are drawn as they are.
const LEAST_SMOOTHED: usize = 100;
/// Means of a smoothed series that do not overlap.
const WINDOWS: usize = 50;

/// At most `most` of `points`: of each of some equal stretches the least and the greatest, so that no peak is
/// lost, and the first one that is not finite.
pub(crate) fn thin(points: &[Point], most: usize) -> Vec<Point> {
    /// Points that stay of a stretch.
    const KEPT: usize = 3;
    if points.len() <= most {
        return points.to_vec();
    }
    // Without the first and the last one, which stay.
    let stretches = (most.saturating_sub(2) / KEPT).max(1);
    let inner = &points[1..points.len() - 1];
    let mut thinned = vec![points[0]];
    for stretch in inner.chunks(inner.len().div_ceil(stretches)) {
        let finite = || (0..stretch.len()).filter(|place| stretch[*place].1.is_finite());
        let by_y = |a: &usize, b: &usize| stretch[*a].1.total_cmp(&stretch[*b].1);
        let gap = (0..stretch.len()).find(|place| !stretch[*place].1.is_finite());
        let mut kept: Vec<usize> =
            [finite().min_by(by_y), finite().max_by(by_y), gap].into_iter().flatten().collect();
        kept.sort_unstable();
        kept.dedup();
        thinned.extend(kept.into_iter().map(|place| stretch[place]));
    }
    thinned.push(points[points.len() - 1]);
    thinned
}

/// The points of which a [`smoothed`] series has the mean of in each of its points; `None` for a series that
/// is short enough to be drawn as it is.
pub(crate) fn window(points: usize) -> Option<usize> {
    (points >= LEAST_SMOOTHED).then(|| (points / WINDOWS).max(2))
}

/// For each point, the mean of the finite ones of the last `window` points.
pub(crate) fn smoothed(points: &[Point], window: usize) -> Vec<Point> {
    let mut smoothed = Vec::with_capacity(points.len());
    let (mut sum, mut number) = (0.0, 0_usize);
    for (place, (x, y)) in points.iter().enumerate() {
        if y.is_finite() {
            (sum, number) = (sum + y, number + 1);
        }
        if let Some((_, old)) =
            place.checked_sub(window).map(|old| points[old]).filter(|old| old.1.is_finite())
        {
            (sum, number) = (sum - old, number - 1);
        }
        smoothed.push((*x, if number > 0 { sum / number as f64 } else { f64::NAN }));
    }
    smoothed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_peaks_ends_and_gaps() {
        let mut points: Vec<Point> = (0..10_000).map(|x| (f64::from(x), 1.0)).collect();
        points[1234].1 = 9.0;
        points[4321].1 = -9.0;
        points[5555].1 = f64::NAN;
        let thinned = thin(&points, 100);
        assert!(thinned.len() <= 100, "{}", thinned.len());
        assert!(thinned.contains(&(1234.0, 9.0)) && thinned.contains(&(4321.0, -9.0)));
        assert!(thinned.iter().any(|point| point.0 == 5555.0));
        assert_eq!((thinned[0].0, thinned.last().unwrap().0), (0.0, 9999.0));
        assert!(thinned.is_sorted_by(|a, b| a.0 < b.0), "in order, each once");
        assert_eq!(thin(&points[..100], 100).len(), 100);
    }

    #[test]
    fn smoothing_takes_means_of_what_is_finite() {
        let points: Vec<Point> = [1.0, 3.0, f64::NAN, 5.0, f64::INFINITY]
            .into_iter()
            .enumerate()
            .map(|(x, y)| (x as f64, y))
            .collect();
        let means: Vec<f64> = smoothed(&points, 2).iter().map(|point| point.1).collect();
        assert_eq!(means, [1.0, 2.0, 3.0, 5.0, 5.0]);
        assert_eq!((window(99), window(100), window(5000)), (None, Some(2), Some(100)));
    }
}
