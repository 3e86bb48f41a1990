//! The time of one batch: all its prompts come at once, and each draws the same number of tokens.

use super::figure::{Bound, Seconds, StepParts};
use super::float;
use super::step::{Load, Sequence, StepModel, StepTime};

/// Below so many tokens the step that reads the prompts is over before its kernels are started one by one: recorded ones
/// took up to 2.4 times what the device needs.
const SHORT: u64 = 512;
const SHORT_TAKES: f64 = 2.5;

/// The time of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BatchTime {
    /// From the start to the last token.
    pub seconds: Seconds,
    /// Until every prompt is read and the first tokens are there: the time to first token of the last of them.
    pub prefill: Seconds,
    /// A step that draws one token of each, in the mean over the batch: the time per output token.
    pub decode_step: Seconds,
    /// Such a step in the middle of the batch.
    pub decode: StepTime,
    /// All steps that read prompts.
    pub prompts: StepTime,
    /// Tokens that are drawn in a second, from the start to the last token.
    pub tokens_per_second: f64,
}

/// Predicts a batch of so many prompts of `input` tokens that draw `output` tokens each, as `vllm bench latency` runs it.
/// Prompts are read in chunks of what a step holds. `None` where one of the numbers is zero.
pub fn batch_time(model: &StepModel, batch: u64, input: u64, output: u64) -> Option<BatchTime> {
    if batch == 0 || input == 0 || output == 0 {
        return None;
    }
    let prompts = prompts(model, batch, input);
    let draw = |length: u64| {
        let mut load = Load::default();
        model.add(&mut load, Sequence::drawn(length), float(batch));
        model.time(&load)
    };
    let [first, middle, last] =
        [input.saturating_add(1), input.saturating_add(output.div_ceil(2)), input.saturating_add(output)].map(draw);
    // Simpson's rule: steps grow with what they see, more slowly behind a window.
    let mean = |of: fn(&StepTime) -> f64| (of(&first) + 4.0 * of(&middle) + of(&last)) / 6.0;
    let on_device = |step: &StepTime| step.parts.sum() - step.parts.host;
    let (decode, decode_device) = (mean(|step| step.seconds), mean(|step| step.parts.sum() - step.parts.host));
    let drawn = float(output - 1);
    let (prefill, device) = (prompts.seconds + model.of_batch(), on_device(&prompts));
    let value = prefill + decode * drawn;
    let doubts = &model.doubts;
    let mut prefill = doubts.around(prefill, device);
    let mut seconds = doubts.around(value, device + decode_device * drawn);
    if batch.saturating_mul(input) < SHORT {
        let more = prefill.value * (SHORT_TAKES - 1.0);
        prefill.high = prefill.high.map(|high| high.max(prefill.value + more));
        seconds.high = seconds.high.map(|high| high.max(value + more));
    }
    Some(BatchTime {
        seconds,
        prefill,
        decode_step: doubts.around(decode, decode_device),
        decode: middle,
        prompts,
        tokens_per_second: float(batch) * float(output) / value,
    })
}

/// The steps that read the prompts, together. They are cut where a step is full.
fn prompts(model: &StepModel, batch: u64, input: u64) -> StepTime {
    let most = model.budget.0.max(1);
    let all = batch.saturating_mul(input);
    let steps = float(all.div_ceil(most).max(1));
    let chunk = input.min(most);
    // In the mean a chunk ends in the middle of its prompt, where prompts are longer than a step.
    let length = if chunk < input { input.midpoint(chunk) } else { input };
    let mut load = Load::default();
    model.add(&mut load, Sequence::prompt(chunk, length, true), float(all) / steps / float(chunk));
    let step = model.time(&load);
    let parts = StepParts::default().plus(&step.parts, steps);
    StepTime {
        seconds: step.seconds * steps,
        parts,
        bound: if parts.host > 0.0 { step.bound } else { parts.bound() },
        bytes: step.bytes * steps,
        operations: step.operations * steps,
    }
}

impl StepTime {
    /// The share of what the device was measured to do, and of its data sheet, that the step reaches in what bounds it:
    /// bytes a second where it reads, operations a second where it computes. `None` for other bounds.
    pub fn share(&self, model: &StepModel) -> Option<(f64, f64)> {
        let limits = &model.limits;
        match self.bound {
            Bound::WeightBandwidth | Bound::KvBandwidth => {
                let rate = self.bytes / self.seconds;
                Some((rate / limits.bandwidth, rate / limits.sheet_bandwidth))
            }
            Bound::Compute => {
                let rate = self.operations / self.seconds;
                Some((rate / limits.matmul, rate / limits.sheet_matmul))
            }
            Bound::Launch | Bound::Host | Bound::Communication => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vllm::time::TimePrediction;
    use crate::{EngineArgs, Setting, budget_of_loaded, weights_on_device};
    use proptest::prelude::*;

    fn llama(args: &EngineArgs) -> StepModel {
        let (model, device) = (crate::tests_support::llama_8b(), crate::find_device("h200").unwrap());
        let weights = weights_on_device(&model, args, device).unwrap();
        let budget = budget_of_loaded(&model, args, Setting::alone(device), &weights).unwrap();
        match TimePrediction::of(&model, args, device, &weights, &budget).unwrap() {
            TimePrediction::Predicted(model) => *model,
            TimePrediction::NotPredicted(why) => panic!("{why}"),
        }
    }

    /// Llama-3.1-8B on an H200: 5.0 to 5.2 ms a token at 1 to 16 requests, bound by weights at 70 % of the copy rate.
    #[test]
    fn a_step_of_few_requests_reads_weights() {
        let model = llama(&EngineArgs::default());
        for batch in [1, 4, 16] {
            let time = batch_time(&model, batch, 256, 64).unwrap();
            assert!((0.0048..0.0054).contains(&time.decode_step.value), "{time:?}");
            let (of_copy, of_sheet) = time.decode.share(&model).unwrap();
            assert_eq!(time.decode.bound, Bound::WeightBandwidth);
            assert!((0.65..0.75).contains(&of_copy) && of_sheet < of_copy, "{of_copy} {of_sheet}");
        }
        let long = batch_time(&model, 256, 8000, 64).unwrap();
        assert_eq!((long.decode.bound, long.prompts.bound), (Bound::KvBandwidth, Bound::Compute));
    }

    #[test]
    fn without_graphs_only_the_least_is_said() {
        let model = llama(&EngineArgs { enforce_eager: true, ..EngineArgs::default() });
        let time = batch_time(&model, 1, 256, 64).unwrap();
        assert_eq!((time.decode.bound, time.decode_step.high), (Bound::Host, None));
        assert!(time.decode_step.low < 0.0055 && time.decode_step.value > 0.01, "{time:?}");
    }

    #[test]
    fn nothing_is_no_batch() {
        let model = llama(&EngineArgs::default());
        assert!([(0, 1, 1), (1, 0, 1), (1, 1, 0)].iter().all(|(b, i, o)| batch_time(&model, *b, *i, *o).is_none()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn more_takes_longer_and_parts_add_up(batch in 1_u64..2000, input in 1_u64..100_000, output in 1_u64..4000) {
            let model = llama(&EngineArgs::default());
            let of = |batch, input, output| batch_time(&model, batch, input, output).unwrap();
            let time = of(batch, input, output);
            let seconds = |time: &BatchTime| time.seconds.value;
            prop_assert!(seconds(&of(batch, input, output + 1)) > seconds(&time));
            prop_assert!(of(batch, input + 4096, output).decode_step.value >= time.decode_step.value);
            prop_assert!(of(batch + 1, input, output).decode_step.value >= time.decode_step.value);
            for step in [&time.decode, &time.prompts] {
                prop_assert!((step.parts.sum() / step.seconds - 1.0).abs() < 1e-9, "{:?}", step);
                prop_assert!(step.seconds.is_finite() && step.seconds > 0.0);
            }
            for figure in [time.seconds, time.prefill, time.decode_step] {
                prop_assert!(figure.low <= figure.value && figure.high.is_some_and(|high| figure.value <= high));
            }
        }

        /// Beyond all reason, yet no number that is none.
        #[test]
        fn any_counts_give_finite_times(batch in 1_u64..=u64::MAX, input in 1_u64..=u64::MAX, output in 1_u64..=u64::MAX) {
            let time = batch_time(&llama(&EngineArgs::default()), batch, input, output).unwrap();
            prop_assert!(time.seconds.value.is_finite() && time.tokens_per_second >= 0.0);
        }
    }
}
