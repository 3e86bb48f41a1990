//! From figures to places in a picture.

/// What is written beside an axis in powers, of each power of ten: over few of them and over many.
const FINE: [f64; 3] = [1.0, 2.0, 5.0];
const COARSE: [f64; 1] = [1.0];

/// One direction of a picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    /// Where `low` and `high` stand.
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis that holds all of these values: from zero, or in powers where asked for and all values allow it.
    pub(crate) fn over(values: impl Iterator<Item = f64>, log: bool, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let log = log && low > 0.0 && high / low > 4.0;
        if log {
            // To round ends, so that they are written beside it.
            let steps = if high.log10() - low.log10() < 2.0 { &FINE[..] } else { &COARSE[..] };
            (low, high) = (round(low, steps, false), round(high, steps, true));
        } else {
            low = low.min(0.0);
            high = high.max(if low < 0.0 { 0.0 } else { f64::MIN_POSITIVE });
            let step = step(high - low);
            high = (high / step).ceil() * step;
            low = (low / step).floor() * step;
        }
        if low >= high {
            high = low + 1.0;
        }
        Self { low, high, log, from, to }
    }

    /// An axis from one value to another, whatever is shown.
    pub(crate) fn between(low: f64, high: f64, from: f64, to: f64) -> Self {
        Self { low, high: if high > low { high } else { low + 1.0 }, log: false, from, to }
    }

    /// The same from its first value to its last, where these are written beside it: measured levels.
    pub(crate) fn exactly(self, low: f64, high: f64) -> Self {
        Self { low, high, ..self }
    }

    /// Whether it goes in powers.
    pub(crate) fn is_log(&self) -> bool {
        self.log
    }

    /// Where it begins and ends in the picture.
    pub(crate) fn span(&self) -> (f64, f64) {
        (self.from, self.to)
    }

    /// What it is of, with how it goes where that is not evenly.
    pub(crate) fn named(&self, name: &str) -> String {
        if self.log { format!("{name} (log scale)") } else { name.to_owned() }
    }

    pub(crate) fn place(&self, value: f64) -> f64 {
        let share = if self.log {
            // Logarithms apart: a quotient of numbers this far from each other is no number.
            (value.max(f64::MIN_POSITIVE).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    /// Round values to write beside the axis.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        if self.log {
            let decades = self.high.log10() - self.low.log10();
            let steps = if decades < 2.9 { &FINE[..] } else { &COARSE[..] };
            let first = self.low.log10().floor();
            let mut ticks = Vec::new();
            let mut power = 10f64.powf(first);
            while power <= self.high && ticks.len() < 40 {
                ticks.extend(steps.iter().map(|step| step * power));
                power *= 10.0;
            }
            let slack = 1.0 + 1e-9;
            ticks.retain(|tick| (self.low / slack..=self.high * slack).contains(tick));
            return ticks;
        }
        let step = step(self.high - self.low);
        let mut tick = (self.low / step).ceil() * step;
        let mut ticks = Vec::new();
        while tick <= self.high + step * 1e-6 && ticks.len() < 40 {
            ticks.push(if tick.abs() < step * 1e-6 { 0.0 } else { tick });
            tick += step;
        }
        ticks
    }
}

/// The next of these steps of a power of ten, below or above.
fn round(value: f64, steps: &[f64], up: bool) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let mut steps = steps.iter().chain(&[10.0]).map(|step| step * power);
    let found = match up {
        true => steps.find(|step| *step >= value * (1.0 - 1e-9)),
        false => steps.rfind(|step| *step <= value * (1.0 + 1e-9)),
    };
    found.filter(|found| found.is_finite() && *found > 0.0).unwrap_or(value)
}

/// A round step of which about five are in a span.
fn step(span: f64) -> f64 {
    if !(span.is_finite() && span > 0.0) {
        return 1.0;
    }
    let raw = span / 5.0;
    let power = 10f64.powf(raw.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= raw * 0.999).unwrap_or(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_places_go_from_end_to_end() {
        let axis = Axis::over([3.0, 97.0].into_iter(), false, 0.0, 500.0);
        assert_eq!(axis.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert!((axis.place(100.0) - 500.0).abs() < 1e-9 && axis.place(0.0).abs() < 1e-9);
        let axis = Axis::over([1.0, 1000.0].into_iter(), true, 0.0, 300.0);
        assert_eq!(axis.ticks(), [1.0, 10.0, 100.0, 1000.0]);
        assert!((axis.place(10.0) - 100.0).abs() < 1e-9);
        let axis = Axis::over([35.0, 120.0, 3000.0].into_iter(), true, 0.0, 300.0);
        let ticks = axis.ticks();
        assert_eq!((ticks.first(), ticks.last()), (Some(&20.0), Some(&5000.0)));
        assert!(axis.named("ms").contains("log"));
        for odd in [
            vec![],
            vec![0.0],
            vec![f64::NAN],
            vec![-5.0, -1.0],
            vec![1e300, -1e300],
            vec![f64::MIN_POSITIVE],
            vec![5e-324, 1e300],
        ] {
            let axis = Axis::over(odd.iter().copied(), true, 0.0, 1.0);
            assert!(axis.ticks().len() <= 40 && axis.place(0.5).is_finite(), "{odd:?}");
        }
    }
}
