//! How long the requests of experiments are.

use anyhow::anyhow;
use vramscope_schema::ExitCode;

use super::{Experiment, LengthList};
use crate::cmd::load::args::{Args, EndpointArg};
use crate::exit::OrExit as _;

/// Prompts of a load unless somebody says otherwise, in tokens.
pub(in crate::cmd::load) const INPUT: u64 = 512;
/// Answers likewise.
pub(in crate::cmd::load) const OUTPUT: u64 = 128;
/// Prompts whose lengths are compared: so far apart that a fit tells a fixed cost from one for each token.
const INPUTS: [u64; 4] = [10, 50, 200, 1000];
/// Answers likewise.
const OUTPUTS: [u64; 3] = [50, 100, 200];
/// A word of a prompt is not more tokens than this, with what a chat's template adds.
const TOKENS_OF_A_WORD: u64 = 5;

/// The lengths of the experiments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Of one request at a time, and of more and more in flight.
    pub(super) one: (u64, u64),
    /// Of several lengths.
    pub(super) inputs: Vec<u64>,
    pub(super) outputs: Vec<u64>,
    /// What was made shorter to fit the server.
    pub(super) cut: Option<String>,
}

impl Sizes {
    /// Those that are asked for, else the usual ones as far as the server takes so long a sequence.
    pub(super) fn of(args: &Args, experiment: Experiment, most: Option<u64>) -> anyhow::Result<Self> {
        let inputs = fixed("--input-len", args.input_len.as_ref())?;
        let outputs = fixed("--output-len", args.output_len.as_ref())?;
        // Where prompts are words the server alone knows their tokens.
        let words = args.endpoint == Some(EndpointArg::Chat);
        if let Some(most) = most.filter(|_| !words) {
            check(inputs.as_deref(), outputs.as_deref(), most)?;
        }
        let room = most.map(|most| Room { most, of_a_word: if words { TOKENS_OF_A_WORD } else { 1 } });
        let single = |list: &Option<Vec<u64>>, usual| match list.as_deref() {
            Some([one]) => (vec![*one], true),
            _ => (vec![usual], false),
        };
        let several = |list: Option<Vec<u64>>, usual: &[u64]| {
            let given = list.is_some();
            (list.unwrap_or_else(|| usual.to_vec()), given)
        };
        let (one, one_cut) = within(room, single(&inputs, INPUT), single(&outputs, OUTPUT));
        let (many, many_cut) = within(room, several(inputs, &INPUTS), several(outputs, &OUTPUTS));
        let ones = experiment.has(Experiment::Latency) || experiment.has(Experiment::Throughput);
        let cuts = [(one_cut && ones, &one), (many_cut && experiment.has(Experiment::Lengths), &many)];
        let said: Vec<String> = cuts
            .iter()
            .filter(|(cut, _)| *cut)
            .map(|(_, sizes)| format!("{} -> {}", list(&sizes.0), list(&sizes.1)))
            .collect();
        let cut = most.filter(|_| !said.is_empty()).map(|most| {
            format!(
                "the usual lengths were cut to fit the {most} tokens that the server takes: {}",
                said.join(", and ")
            )
        });
        let first = |list: &[u64]| list.first().copied().unwrap_or(1);
        Ok(Self { one: (first(&one.0), first(&one.1)), inputs: many.0, outputs: many.1, cut })
    }
}

/// The longest sequence of a server.
#[derive(Clone, Copy)]
struct Room {
    most: u64,
    of_a_word: u64,
}

/// Lengths of prompts and answers, cut where nobody gave them: answers to half of the room, prompts to what is left.
fn within(
    room: Option<Room>,
    (mut inputs, inputs_given): (Vec<u64>, bool),
    (mut outputs, outputs_given): (Vec<u64>, bool),
) -> ((Vec<u64>, Vec<u64>), bool) {
    let Some(Room { most, of_a_word }) = room else { return ((inputs, outputs), false) };
    let before = (inputs.clone(), outputs.clone());
    let longest = |list: &[u64]| list.iter().copied().max().unwrap_or(1);
    if !outputs_given {
        let left = if inputs_given { most.saturating_sub(longest(&inputs) * of_a_word) } else { most / 2 };
        lower(&mut outputs, left);
    }
    if !inputs_given {
        lower(&mut inputs, most.saturating_sub(longest(&outputs)) / of_a_word);
    }
    let cut = before != (inputs.clone(), outputs.clone());
    ((inputs, outputs), cut)
}

fn lower(list: &mut Vec<u64>, most: u64) {
    list.iter_mut().for_each(|length| *length = (*length).min(most).max(1));
    list.sort_unstable();
    list.dedup();
}

/// What somebody gave must be served.
fn check(inputs: Option<&[u64]>, outputs: Option<&[u64]>, most: u64) -> anyhow::Result<()> {
    let longest = |list: Option<&[u64]>| list.and_then(|list| list.iter().copied().max()).unwrap_or(1);
    let (input, output) = (longest(inputs), longest(outputs));
    if input.saturating_add(output) > most {
        let long = anyhow!(
            "a prompt of {input} and an answer of {output} tokens are more than the {most} that the server takes; give \
             shorter ones (--input-len, --output-len), or the server a larger --max-model-len"
        );
        return Err(long).or_exit(ExitCode::Usage);
    }
    Ok(())
}

/// Lengths of which each is a number.
fn fixed(flag: &str, given: Option<&LengthList>) -> anyhow::Result<Option<Vec<u64>>> {
    let Some(list) = given else { return Ok(None) };
    let numbers: Option<Vec<u64>> = list.0.iter().map(|one| one.fixed().filter(|length| *length > 0)).collect();
    let mut numbers = numbers
        .ok_or_else(|| anyhow!("{flag} {list}: experiments take lengths of at least 1, as 10,50,200"))
        .or_exit(ExitCode::Usage)?;
    numbers.sort_unstable();
    numbers.dedup();
    Ok(Some(numbers))
}

fn list(lengths: &[u64]) -> String {
    lengths.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Checks what was given before a server is asked, or started.
pub(super) fn check_given(args: &Args) -> anyhow::Result<()> {
    fixed("--input-len", args.input_len.as_ref())?;
    fixed("--output-len", args.output_len.as_ref()).map(drop)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn sizes(words: &[&str], most: Option<u64>) -> anyhow::Result<Sizes> {
        let all = [&["load", "http://h", "--experiment", "suite"][..], words].concat();
        Sizes::of(&Command::try_parse_from(all).unwrap().args, Experiment::Suite, most)
    }

    #[test]
    fn the_usual_lengths_are_cut_to_what_the_server_takes_and_that_is_said() {
        let usual = sizes(&[], None).unwrap();
        assert_eq!((usual.one, usual.inputs.as_slice(), usual.cut), ((512, 128), &INPUTS[..], None));
        let small = sizes(&[], Some(512)).unwrap();
        assert_eq!((small.one, small.inputs), ((384, 128), vec![10, 50, 200, 312]));
        assert_eq!(small.outputs, OUTPUTS);
        assert!(small.cut.unwrap().contains("512 tokens"));
        let tiny = sizes(&[], Some(16)).unwrap();
        assert_eq!((tiny.one, tiny.inputs, tiny.outputs), ((8, 8), vec![8], vec![8]));
        assert!(sizes(&[], Some(1 << 20)).unwrap().cut.is_none());
    }

    #[test]
    fn what_is_given_is_taken_or_refused_and_never_cut() {
        let given = sizes(&["--input-len", "300,20", "--output-len", "16"], Some(512)).unwrap();
        assert_eq!((given.inputs, given.outputs, given.one), (vec![20, 300], vec![16], (496, 16)));
        for (words, part) in [
            (&["--input-len", "500", "--output-len", "16"][..], "more than the 512"),
            (&["--input-len", "8..9"], "experiments take lengths"),
            (&["--output-len", "0"], "experiments take lengths"),
        ] {
            let error = sizes(words, Some(512)).unwrap_err();
            assert!(format!("{error:#}").contains(part), "{error:#}");
        }
        let chat = sizes(&["--endpoint", "chat"], Some(512)).unwrap();
        assert_eq!(chat.one, (76, 128));
    }
}
