//! Medians over rounds with a bootstrap confidence interval.

use serde::Serialize;

/// The number of bootstrap resamples.
const DRAWS: usize = 2_000;

/// A value with the interval that holds 95 % of the bootstrap's draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The value over all rounds.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Estimate {
    /// The statistic over all rounds, and its interval when the rounds are resampled with replacement.
    ///
    /// `statistic` gets indices of rounds, so it can pair values of the same round. The resamples are the same in every
    /// run of the program.
    pub fn over_rounds(rounds: usize, statistic: impl Fn(&[usize]) -> f64) -> Self {
        let every: Vec<usize> = (0..rounds).collect();
        let mut random = fastrand::Rng::with_seed(0x706c_6169_6e73);
        let mut drawn = vec![0; rounds];
        let mut values: Vec<f64> = (0..DRAWS)
            .map(|_| {
                drawn.fill_with(|| random.usize(..rounds));
                statistic(&drawn)
            })
            .collect();
        values.sort_by(f64::total_cmp);
        Self {
            value: statistic(&every),
            low: values[DRAWS / 40],
            high: values[DRAWS - 1 - DRAWS / 40],
        }
    }
}

/// The median, the mean of the middle two for an even number; NaN of nothing.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_in_any_order() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 100.0]), 3.0);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn equal_rounds_have_no_noise() {
        let estimate = Estimate::over_rounds(15, |rounds| median(vec![2.5; rounds.len()]));
        assert_eq!(
            estimate,
            Estimate {
                value: 2.5,
                low: 2.5,
                high: 2.5
            }
        );
    }

    #[test]
    fn the_interval_holds_the_value_and_widens_with_the_rounds_spread() {
        let of = |spread: f64| {
            let rounds: Vec<f64> = (0..15)
                .map(|round| 10.0 + spread * f64::from(round))
                .collect();
            Estimate::over_rounds(15, |drawn| {
                median(drawn.iter().map(|&i| rounds[i]).collect())
            })
        };
        let (narrow, wide) = (of(0.1), of(1.0));
        for estimate in [narrow, wide] {
            assert!(estimate.low < estimate.value && estimate.value < estimate.high);
        }
        assert!(wide.high - wide.low > 5.0 * (narrow.high - narrow.low));
    }

    #[test]
    fn one_bad_round_of_fifteen_does_not_move_the_median() {
        let mut rounds = [3.0; 15];
        rounds[7] = 900.0;
        let estimate = Estimate::over_rounds(15, |drawn| {
            median(drawn.iter().map(|&i| rounds[i]).collect())
        });
        assert_eq!((estimate.value, estimate.high), (3.0, 3.0));
    }
}
