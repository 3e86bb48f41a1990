//! Finds the few lines that matter among millions: a line matters only if it holds one of some rare texts.

use std::sync::LazyLock;

use aho_corasick::packed;

use crate::vllm::rows::{self, Format};

/// Texts that matter without being part of a format.
const EXTRA: &[&str] = &[
    // Exceptions, for failures of unknown kind.
    rows::RAISED,
    "Exception: ",
    // Those that have nothing to say beyond their names.
    "AssertionError",
    "NotImplementedError",
    // What a traceback says that the engine was at.
    "in wake_up",
    // Of `in capture_model`, and of formats.
    "captur",
    "Traceback (most",
    // What the server says before the traceback of a request.
    "in ASGI application",
    // Bars of the engine's own benchmark.
    " iterations:",
];

/// Texts by which another engine is told where a log goes on with one: it announces itself by a line that holds one of
/// them. The beginning of a log is looked at for more.
const SIGNS: &[&str] = &["load_tensors: ", "ServerArgs(", "text_generation_launcher", "level=INFO source="];

/// Texts that matter where a container runtime writes the log: it cuts long lines in two.
const RUNTIME: &[&str] = &[" stdout P ", " stderr P "];

/// How far into a message its format is looked for. Formats stand at the start; what follows may be long.
const MAX_FORMAT: usize = 2048;

/// Texts by which figures of memory can be told in lines of no known format.
const FIGURES: &[&str] = &[
    "0GiB", "1GiB", "2GiB", "3GiB", "4GiB", "5GiB", "6GiB", "7GiB", "8GiB", "9GiB", "0MiB", "1MiB", "2MiB", "3MiB",
    "4MiB", "5MiB", "6MiB", "7MiB", "8MiB", "9MiB", " GiB", " MiB", "0 GB", "1 GB", "2 GB", "3 GB", "4 GB", "5 GB",
    "6 GB", "7 GB", "8 GB", "9 GB", "0 MB", "1 MB", "2 MB", "3 MB", "4 MB", "5 MB", "6 MB", "7 MB", "8 MB", "9 MB",
];

/// A search for needles.
#[derive(Debug)]
pub(crate) struct Needles {
    search: Search,
    /// For each needle, the formats that hold it, by their place in the table.
    formats: Vec<Vec<usize>>,
    /// For each needle, whether another engine is told by it.
    signs: Vec<bool>,
}

/// The vector search, or an automaton on machines that lack it.
#[derive(Debug)]
enum Search {
    Packed(packed::Searcher),
    Automaton(aho_corasick::AhoCorasick),
    /// Neither could be built: every line matters.
    None,
}

static NEEDLES: LazyLock<Needles> = LazyLock::new(|| Needles::of(&[EXTRA, SIGNS].concat()));
static WITH_RUNTIME: LazyLock<Needles> = LazyLock::new(|| Needles::of(&[EXTRA, SIGNS, RUNTIME].concat()));
static WITH_FIGURES: LazyLock<Needles> = LazyLock::new(|| Needles::of(&[EXTRA, SIGNS, RUNTIME, FIGURES].concat()));

impl Needles {
    /// The needles of all formats.
    pub(crate) fn get() -> &'static Self {
        &NEEDLES
    }

    /// The same, with the marks of a container runtime.
    pub(crate) fn with_runtime() -> &'static Self {
        &WITH_RUNTIME
    }

    /// The same, with the texts by which figures of memory in unknown lines are told.
    pub(crate) fn with_figures() -> &'static Self {
        &WITH_FIGURES
    }

    fn of(extra: &[&'static str]) -> Self {
        let mut needles: Vec<&'static str> = Vec::new();
        let mut formats: Vec<Vec<usize>> = Vec::new();
        let silent = |format: &Format| format.row.needle == rows::FIGURES_ONLY;
        for (place, format) in rows::formats().iter().enumerate().filter(|(_, format)| !silent(format)) {
            match needles.iter().position(|n| *n == format.row.needle) {
                Some(known) => formats[known].push(place),
                None => {
                    needles.push(format.row.needle);
                    formats.push(vec![place]);
                }
            }
        }
        for text in extra {
            if !needles.contains(text) {
                let listed = FIGURES.contains(text).then(|| rows::formats().iter().enumerate());
                let known = listed.into_iter().flatten().filter(|(_, format)| silent(format));
                formats.push(known.map(|(place, _)| place).collect());
                needles.push(text);
            }
        }
        let order = dealt(&needles);
        let needles: Vec<&str> = order.iter().map(|place| needles[*place]).collect();
        let signs = needles.iter().map(|needle| SIGNS.contains(needle)).collect();
        let formats = order.iter().map(|place| std::mem::take(&mut formats[*place])).collect();
        let packed =
            packed::Config::new().match_kind(packed::MatchKind::LeftmostFirst).builder().extend(&needles).build();
        let search = match packed {
            Some(searcher) => Search::Packed(searcher),
            None => aho_corasick::AhoCorasick::new(&needles).map_or(Search::None, Search::Automaton),
        };
        Self { search, formats, signs }
    }

    /// The first needle at or after `at`: which one, and where.
    pub(crate) fn find(&self, text: &[u8], at: usize) -> Option<(usize, usize)> {
        match &self.search {
            Search::Packed(searcher) => {
                let span = aho_corasick::Span { start: at, end: text.len() };
                searcher.find_in(text, span).map(|found| (found.pattern().as_usize(), found.start()))
            }
            Search::Automaton(automaton) => {
                let input = aho_corasick::Input::new(text).range(at..);
                automaton.find(input).map(|found| (found.pattern().as_usize(), found.start()))
            }
            Search::None => (at < text.len()).then_some((usize::MAX, at)),
        }
    }

    /// Whether another engine is told by this needle.
    pub(crate) fn is_sign(&self, needle: usize) -> bool {
        self.signs.get(needle).copied().unwrap_or(false)
    }

    /// The formats that a text may have, in the order of the table.
    pub(crate) fn candidates(&self, text: &str) -> Candidates {
        let text = &text.as_bytes()[..text.len().min(MAX_FORMAT)];
        let mut found = Candidates::default();
        let mut at = 0;
        while let Some((needle, place)) = self.find(text, at) {
            match self.formats.get(needle) {
                Some(formats) => formats.iter().for_each(|format| found.insert(*format)),
                None => (0..rows::formats().len()).for_each(|format| found.insert(format)),
            }
            at = place + 1;
        }
        found
    }
}

/// The buckets of the vector search, to which it deals needles out in turn.
const BUCKETS: usize = 16;

/// The order, by their places, in which the vector search tells needles apart best: a bucket lets the fewer other texts
/// through, the more alike the beginnings of its needles are.
fn dealt(needles: &[&str]) -> Vec<usize> {
    let mut sorted: Vec<usize> = (0..needles.len()).collect();
    sorted.sort_unstable_by_key(|place| needles[*place]);
    let (each, rest) = (needles.len() / BUCKETS, needles.len() % BUCKETS);
    let start = |bucket: usize| bucket * each + bucket.min(rest);
    (0..needles.len()).map(|turn| sorted[start(turn % BUCKETS) + turn / BUCKETS]).collect()
}

/// A set of formats.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Candidates {
    bits: [u64; 4],
    begin: bool,
}

impl Candidates {
    fn insert(&mut self, format: usize) {
        if let Some(word) = self.bits.get_mut(format / 64) {
            *word |= 1 << (format % 64);
        }
        self.begin |= rows::formats().get(format).is_some_and(|format| format.row.effect.announces());
    }

    /// Whether an engine may announce itself by one of the formats.
    pub(crate) fn begin(self) -> bool {
        self.begin
    }

    /// The formats in the order of the table.
    pub(crate) fn iter(self) -> impl Iterator<Item = &'static Format> {
        let all = rows::formats();
        (0..4).flat_map(move |word| {
            let mut bits = self.bits[word];
            std::iter::from_fn(move || {
                if bits == 0 {
                    return None;
                }
                let bit = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                all.get(word * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_fits_the_set_and_the_vector_search() {
        assert!(rows::formats().len() <= 256, "the set of formats has 256 bits");
        let needles = Needles::get();
        assert!(needles.formats.len() <= 64, "{} needles: the vector search takes 64", needles.formats.len());
        #[cfg(target_arch = "x86_64")]
        assert!(matches!(needles.search, Search::Packed(_)));
    }

    #[test]
    fn each_needle_is_dealt_once_and_those_of_a_bucket_are_neighbours() {
        let names: Vec<String> = (0..53).map(|n| format!("{:02}", (n * 31) % 53)).collect();
        let needles: Vec<&str> = names.iter().map(String::as_str).collect();
        let dealt: Vec<&str> = dealt(&needles).into_iter().map(|place| needles[place]).collect();
        let by_bucket: Vec<&str> =
            (0..BUCKETS).flat_map(|bucket| dealt.iter().skip(bucket).step_by(BUCKETS)).copied().collect();
        assert!(by_bucket.is_sorted() && by_bucket.len() == 53, "{by_bucket:?}");
    }

    #[test]
    fn a_needle_hides_no_other_that_begins_as_it_does() {
        let needles: Vec<&str> = rows::formats().iter().map(|f| f.row.needle).filter(|n| !n.is_empty()).collect();
        for needle in needles.iter().chain(EXTRA) {
            let hidden = needles.iter().chain(EXTRA).find(|other| *other != needle && other.starts_with(needle));
            assert_eq!(hidden, None, "{needle:?}");
        }
    }

    #[test]
    fn a_needle_names_its_formats() {
        let line = "INFO 1 [x] Model loading took 14.99 GiB and 1.2 seconds";
        let found: Vec<&str> = Needles::get().candidates(line).iter().map(|f| f.row.pattern).collect();
        assert!(found.iter().any(|pattern| pattern.starts_with("Model loading took")));
        assert!(found.len() < 6);
    }
}
