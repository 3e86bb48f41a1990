//! One log record in a piece of text: its wrapper, process tag, level, clock, source and message.

use std::borrow::Cow;
use std::sync::LazyLock;

use vramscope_core::LogTime;

use crate::clock;

/// The levels that the engine prints.
const LEVELS: [&str; 5] = ["INFO", "WARNING", "ERROR", "DEBUG", "CRITICAL"];

/// A part of a line with one message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record<'a> {
    /// The innermost process tag, without its brackets.
    pub(crate) tag: Option<&'a str>,
    /// The level, where the record has the engine's own prefix.
    pub(crate) level: Option<&'a str>,
    /// The clock on the record, or of the wrapper around it.
    pub(crate) clock: Option<LogTime>,
    /// The source file, without its line number.
    pub(crate) file: Option<&'a str>,
    /// What is said, without trailing spaces.
    pub(crate) message: &'a str,
    /// How many more processes said the same.
    pub(crate) repeated: u32,
    /// Which of the programs that share the log.
    pub(crate) stream: Stream<'a>,
    /// The rank that torch puts before the exceptions of distributed programs.
    pub(crate) rank: Option<u32>,
}

/// Which of several programs that share a log a record is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stream<'a> {
    /// The service or pod that a wrapper names.
    pub(crate) name: Option<&'a str>,
    /// The stage of a model that is served by one engine after the other.
    pub(crate) stage: Option<u32>,
}

/// What stands around a line.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Wrapper<'a> {
    pub(crate) clock: Option<LogTime>,
    pub(crate) stream: Option<&'a str>,
    rank: Option<u32>,
}

/// Removes colour codes: whole, pasted as `^[[1;36m`, or with the escape character lost.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'[', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out: Option<String> = None;
    let mut kept = 0;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'[', &bytes[at..]) {
        let bracket = at + found;
        at = bracket + 1;
        let before = &bytes[..bracket];
        let escape = if before.ends_with(b"\x1b") {
            1
        } else if before.ends_with(b"^[") {
            2
        } else if before.ends_with("␛".as_bytes()) {
            "␛".len()
        } else {
            0
        };
        let digits = bytes[at..].iter().take_while(|b| b.is_ascii_digit() || **b == b';').count();
        let last = bytes.get(at + digits);
        let colour = last == Some(&b'm') && (digits > 0 || escape > 0);
        let other_code = escape == 1 && last.is_some_and(u8::is_ascii_alphabetic);
        if colour || other_code {
            let start = bracket - escape;
            if start >= kept {
                let out = out.get_or_insert_with(|| String::with_capacity(text.len()));
                out.push_str(&text[kept..start]);
                kept = at + digits + 1;
                at = kept;
            }
        }
    }
    match out {
        Some(mut out) => {
            out.push_str(&text[kept..]);
            Cow::Owned(out)
        }
        None => Cow::Borrowed(text),
    }
}

/// What a line says in the end, for a place with little room: without colours, process, clock and source; the level only
/// where it is not the usual one.
///
/// ```
/// let line = "(EngineCore pid=79) WARNING 11-26 01:17:41 [core.py:114] Slow disk";
/// assert_eq!(vramscope_log::message(line), "WARNING Slow disk");
/// ```
pub fn message(line: &str) -> String {
    let mut said = String::new();
    each(&plain(line), |record| {
        let level = record.level.filter(|level| *level != "INFO").map(|level| format!("{level} "));
        said = level.unwrap_or_default() + record.message;
    });
    said
}

/// A line to be shown as it is: without colours, secrets and what would steer a terminal, and shortened.
///
/// ```
/// assert_eq!(vramscope_log::excerpt("\x1b[31mERROR\x1b[0m no\x07 room"), "ERROR no room");
/// ```
pub fn excerpt(line: &str) -> String {
    crate::vllm::failure::message(&plain(line))
}

/// Calls `take` with each record of a piece of plain text. A record begins at a level with a clock; text before the
/// first one (a progress bar, a line of a tool) is a record of its own.
pub(crate) fn each<'a>(text: &'a str, mut take: impl FnMut(Record<'a>)) {
    let text = text.trim_end();
    let mut heads = heads(text).peekable();
    let wrapper;
    let mut stream = Stream::default();
    match heads.peek() {
        None => {
            bare(text, &mut take);
            return;
        }
        Some(first) => {
            let (lead, before) = split_tags(&text[..first.start]);
            let (found, rest) = unwrap(lead);
            wrapper = found;
            stream.name = wrapper.stream;
            stream.stage = before.stage;
            if !rest.trim().is_empty() && rest.contains('|') {
                bare(lead, &mut take);
            }
        }
    }
    let mut begin = 0;
    while let Some(head) = heads.next() {
        let (_, Before { tag, stage }) = split_tags(&text[begin..head.start]);
        stream.stage = stage.or(stream.stage);
        begin = head.end;
        let end = match heads.peek() {
            Some(next) => {
                let (lead, _) = split_tags(&text[head.end..next.start]);
                head.end + lead.len()
            }
            None => text.len(),
        };
        let (file, message) = source(&text[head.end..end]);
        let (message, repeated) = repeats(message.trim_end());
        let clock = Some(with_year(head.clock, wrapper.clock));
        let rank = wrapper.rank;
        take(Record { tag, level: Some(head.level), clock, file, message, repeated, stream, rank });
    }
}

/// A record without the engine's prefix.
fn bare<'a>(text: &'a str, take: &mut impl FnMut(Record<'a>)) {
    let (Wrapper { clock, stream, rank }, rest) = unwrap(text);
    let (rest, Before { tag, stage }) = leading_tags(rest);
    let stream = Stream { name: stream, stage };
    let (message, repeated) = repeats(rest.trim());
    let message = message.strip_suffix('│').map_or(message, str::trim_end);
    if !message.is_empty() || clock.is_some() {
        take(Record { tag, level: None, clock, file: None, message, repeated, stream, rank });
    }
}

/// A wrapper that states the year and the same instant lends it to the clock of the record.
fn with_year(own: LogTime, wrapper: Option<LogTime>) -> LogTime {
    match wrapper {
        Some(outer)
            if (outer.month, outer.day, outer.hour, outer.minute) == (own.month, own.day, own.hour, own.minute) =>
        {
            LogTime { year: own.year.or(outer.year), utc_offset_minutes: outer.utc_offset_minutes, ..own }
        }
        _ => own,
    }
}

struct Head<'a> {
    /// Where the level begins.
    start: usize,
    /// Where the clock ends.
    end: usize,
    level: &'a str,
    clock: LogTime,
}

/// The places where `LEVEL MM-DD HH:MM:SS` stands.
fn heads(text: &str) -> impl Iterator<Item = Head<'_>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(dash) = memchr::memchr(b'-', text.as_bytes().get(from..)?) {
            let dash = from + dash;
            from = dash + 1;
            if let Some(head) = head_at(text, dash) {
                from = head.end;
                return Some(head);
            }
        }
        None
    })
}

/// The head whose date has its dash at `dash`.
fn head_at(text: &str, dash: usize) -> Option<Head<'_>> {
    let date = dash.checked_sub(2)?;
    let (clock, len) = clock::month_day(text.get(date..)?)?;
    let before = text.get(..date)?;
    let word = before.trim_end_matches(' ');
    if word.len() == before.len() {
        return None;
    }
    let level = LEVELS.iter().find(|level| word.ends_with(**level))?;
    let start = word.len() - level.len();
    if text.as_bytes()[..start].last().is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    Some(Head { start, end: date + len, level: &text[start..word.len()], clock })
}

/// What stands between wrappers and the engine's own prefix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Before<'a> {
    /// The innermost process tag, without its brackets.
    tag: Option<&'a str>,
    /// The stage.
    stage: Option<u32>,
}

/// Splits `… (Tag pid=1) (Tag pid=2) [Stage-0] ` into what stands before all these, and them.
fn split_tags(text: &str) -> (&str, Before<'_>) {
    let mut rest = text;
    let mut found = Before::default();
    loop {
        let trimmed = rest.trim_end_matches(' ');
        let (open, close) = if trimmed.ends_with(')') { ('(', ')') } else { ('[', ']') };
        let Some(inside) = trimmed.strip_suffix(close) else { return (rest, found) };
        let Some(at) = inside.rfind(open) else { return (rest, found) };
        let candidate = &inside[at + 1..];
        if open == '(' && is_tag(candidate) {
            found.tag = found.tag.or(Some(candidate));
        } else if open == '[' && stage(candidate).is_some() {
            found.stage = found.stage.or(stage(candidate));
        } else {
            return (rest, found);
        }
        rest = &text[..at];
    }
}

/// Splits `(Tag pid=1) (Tag pid=2) [Stage-0] …` into what follows all these, and them.
fn leading_tags(text: &str) -> (&str, Before<'_>) {
    let mut rest = text.trim_start_matches(' ');
    let mut found = Before::default();
    loop {
        let close = if rest.starts_with('(') { ')' } else { ']' };
        let Some(at) = rest.strip_prefix(['(', '[']).and_then(|_| rest.find(close)) else { return (rest, found) };
        let candidate = &rest[1..at];
        if close == ')' && is_tag(candidate) {
            found.tag = Some(candidate);
        } else if close == ']' && stage(candidate).is_some() {
            found.stage = stage(candidate);
        } else {
            return (rest, found);
        }
        rest = rest[at + 1..].trim_start_matches(' ');
    }
}

/// The number in `Stage-0`, as vLLM-Omni puts it before each line of the engines that one model needs.
fn stage(inside: &str) -> Option<u32> {
    let digits = inside.strip_prefix("Stage-")?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Whether this is the inside of a process tag: a name and `pid=` with digits.
fn is_tag(inside: &str) -> bool {
    inside.len() < 200
        && inside.starts_with(|c: char| c.is_ascii_alphabetic())
        && inside.find("pid=").is_some_and(|at| inside.as_bytes().get(at + 4).is_some_and(u8::is_ascii_digit))
}

/// Splits `[file.py:12] message`, or `file.py:12] message` as before 0.8, into file and message.
fn source(text: &str) -> (Option<&str>, &str) {
    let text = text.strip_prefix(' ').unwrap_or(text);
    let inside = text.strip_prefix('[').unwrap_or(text);
    let Some(close) = memchr::memchr(b']', inside.as_bytes()) else { return (None, text) };
    let place = &inside[..close];
    let is_place = place.rsplit_once(':').is_some_and(|(file, line)| {
        !file.is_empty() && !file.contains(' ') && !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit())
    });
    if !is_place {
        return (None, text);
    }
    let message = &inside[close + 1..];
    let file = place.rsplit_once(':').map(|(file, _)| file);
    (file, message.strip_prefix(' ').unwrap_or(message))
}

static REPEATED: LazyLock<memchr::memmem::Finder<'static>> =
    LazyLock::new(|| memchr::memmem::Finder::new(" [repeated "));

/// Splits off Ray's ` [repeated 6x across cluster] …`.
fn repeats(message: &str) -> (&str, u32) {
    if let Some(at) = REPEATED.find(message.as_bytes()) {
        let tail = &message[at + " [repeated ".len()..];
        if let Some((digits, _)) = tail.split_once("x across cluster]") {
            return (message[..at].trim_end(), digits.parse().unwrap_or(0));
        }
    }
    (message, 0)
}

/// Strips what containers, collectors and people put before a line, from the left, until nothing more is known. Gives
/// the clock that a wrapper stated.
pub(crate) fn strip_wrappers(text: &str) -> (Option<LogTime>, &str) {
    let (wrapper, rest) = unwrap(text);
    (wrapper.clock, rest)
}

/// The same, with all that the wrappers state.
pub(crate) fn unwrapped(text: &str) -> (Wrapper<'_>, &str) {
    unwrap(text)
}

/// Whether a line has the head of the first engine's records: a level with a month and a day.
pub(crate) fn has_own_head(text: &str) -> bool {
    heads(text).next().is_some()
}

fn unwrap(text: &str) -> (Wrapper<'_>, &str) {
    let mut wrapper = Wrapper::default();
    let mut rest = text;
    // A bound on nesting: journald around compose around a quote is three.
    for _ in 0..6 {
        let trimmed = rest.trim_start_matches([' ', '>', '|', '│', '┃', '\t']);
        let stripped = strip_clock(trimmed, &mut wrapper.clock)
            .or_else(|| strip_cri(trimmed))
            .or_else(|| strip_rank(trimmed, &mut wrapper.rank))
            .or_else(|| strip_journald(trimmed))
            .or_else(|| strip_stream(trimmed, &mut wrapper.stream))
            .or_else(|| strip_model_log(trimmed))
            .or_else(|| strip_level(trimmed).filter(|_| wrapper.clock.is_some()));
        match stripped {
            Some(next) => rest = next,
            None if rest.len() == trimmed.len() => break,
            None => rest = trimmed,
        }
    }
    (wrapper, rest)
}

/// `2025-06-02T11:20:30.123Z `, with or without brackets around it.
fn strip_clock<'a>(text: &'a str, clock: &mut Option<LogTime>) -> Option<&'a str> {
    let (inside, bracketed) = match text.strip_prefix('[') {
        Some(inside) => (inside, true),
        None => (text, false),
    };
    let (time, len) = clock::iso(inside)?;
    let rest = &inside[len..];
    let rest = if bracketed { rest.strip_prefix(']')? } else { rest };
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return None;
    }
    *clock = Some(time);
    Some(rest.trim_start_matches([' ', '\t']))
}

/// `[rank0]: `, as torch puts it before uncaught exceptions of distributed programs.
fn strip_rank<'a>(text: &'a str, rank: &mut Option<u32>) -> Option<&'a str> {
    let (digits, rest) = text.strip_prefix("[rank")?.split_once("]:")?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    *rank = digits.parse().ok();
    Some(rest.strip_prefix(' ').unwrap_or(rest))
}

/// `stdout F `, `stderr P `.
fn strip_cri(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("stdout ").or_else(|| text.strip_prefix("stderr "))?;
    rest.strip_prefix("F ").or_else(|| rest.strip_prefix("P ")).or_else(|| (rest == "F").then_some(""))
}

/// `Sep 03 09:41:29 host python3[20833]: `, with the month in any language.
fn strip_journald(text: &str) -> Option<&str> {
    let mut words = text.splitn(5, ' ').filter(|w| !w.is_empty());
    let (month, day, time, _host) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let is_time = time.len() == 8
        && time.bytes().enumerate().all(|(i, b)| if i % 3 == 2 { b == b':' } else { b.is_ascii_digit() });
    let is_day = (1..=2).contains(&day.len()) && day.bytes().all(|b| b.is_ascii_digit());
    if !is_time || !is_day || month.chars().count() > 10 || !month.chars().all(|c| c.is_alphabetic() || c == '.') {
        return None;
    }
    let after = text.find("]: ").map(|at| at + 3).or_else(|| text.find(": ").map(|at| at + 2))?;
    Some(&text[after..])
}

/// Longest lead that is looked at for the end of a wrapper.
const MAX_LEAD: usize = 160;

/// `… MODEL_LOG - `, as TorchServe prints it.
fn strip_model_log(text: &str) -> Option<&str> {
    const MARK: &str = "MODEL_LOG - ";
    let lead = &text.as_bytes()[..text.len().min(MAX_LEAD)];
    let at = memchr::memchr_iter(b'M', lead).find(|at| text.as_bytes()[*at..].starts_with(MARK.as_bytes()))?;
    Some(&text[at + MARK.len()..])
}

/// `[Error] `, behind a clock, as programs print it that run the engine; Lemonade adds `(Process) `.
fn strip_level(text: &str) -> Option<&str> {
    const WORDS: [&str; 9] = ["trace", "debug", "info", "notice", "warn", "warning", "error", "critical", "fatal"];
    let (word, rest) = text.strip_prefix('[')?.split_once(']')?;
    let is_level = WORDS.iter().any(|known| word.trim().eq_ignore_ascii_case(known));
    let rest = rest.strip_prefix(' ').filter(|_| is_level)?;
    Some(rest.strip_prefix("(Process) ").unwrap_or(rest))
}

/// `worker-1  | `, `[pod/vllm-0/server] `.
fn strip_stream<'a>(text: &'a str, stream: &mut Option<&'a str>) -> Option<&'a str> {
    if let Some(inside) = text.strip_prefix("[pod/") {
        let (name, rest) = inside.split_once("] ")?;
        *stream = Some(name);
        return Some(rest);
    }
    let bar = memchr::memchr(b'|', &text.as_bytes()[..text.len().min(MAX_LEAD)])?;
    let (name, rest) = (&text[..bar], &text[bar + 1..]);
    let trimmed = name.trim_end_matches(' ');
    let is_name = !trimmed.is_empty()
        && trimmed.len() <= 64
        && trimmed.len() < name.len()
        && trimmed.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && trimmed.bytes().any(|b| b.is_ascii_alphabetic());
    if !is_name || !rest.starts_with(' ') {
        return None;
    }
    *stream = Some(trimmed);
    Some(rest.trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(Option<String>, String)> {
        let plain = plain(text);
        let mut found = Vec::new();
        each(&plain, |r| found.push((r.tag.map(str::to_owned), r.message.to_owned())));
        found
    }

    #[test]
    fn the_prefix_is_stripped_in_every_wrapper() {
        let wanted = vec![(Some("Worker_TP0 pid=41".to_owned()), "Model loading took 3.7 GiB".to_owned())];
        let line = "(Worker_TP0 pid=41) INFO 01-02 03:04:05 [gpu_model_runner.py:4130] Model loading took 3.7 GiB";
        let coloured = "\x1b[0;36m(Worker_TP0 pid=41)\x1b[0;0m INFO 01-02 03:04:05 [a.py:1] Model loading took 3.7 GiB";
        let lost = "[0;36m(Worker_TP0 pid=41)[0;0m INFO 01-02 03:04:05 [v1/.../a.py:1] Model loading took 3.7 GiB\r";
        assert_eq!(all(line), wanted);
        assert_eq!(all(coloured), wanted);
        assert_eq!(all(lost), wanted);
        for wrapper in [
            "worker-1  | ",
            "> ",
            "2025-06-02T11:20:30.123456789Z ",
            "2025-06-02T11:20:30.123456789Z stdout F ",
            "сен 03 09:41:29 host python3[20833]: ",
            "[2025-05-05T12:00:00Z] ",
            "  | [2025-05-05T12:00:00Z] ",
            "│ ",
            "2025-05-05T12:00:00,123 [INFO ] W-9000-m_1.0-stdout org.pytorch.serve.MODEL_LOG - ",
            "[pod/vllm-0/server] ",
            "2026-05-08 11:47:02.257 [Error] (Process) ",
            "2026-05-08 11:47:02 [INFO ] ",
            "my prefix: ",
            "(EngineCore_DP1 pid=12) ",
            "[Stage-1] ",
            "2025-06-02T11:20:30Z [Stage-1] ",
        ] {
            assert_eq!(all(&format!("{wrapper}{line}")), wanted, "{wrapper}");
        }
    }

    #[test]
    fn a_stage_stands_on_either_side_of_the_process() {
        let stage = |text: &str| {
            let mut found = None;
            each(text, |r| found = Some((r.tag.map(str::to_owned), r.stream.stage, r.message.to_owned())));
            found.unwrap()
        };
        let wanted = |message: &str| (Some("Worker pid=26".to_owned()), Some(1), message.to_owned());
        assert_eq!(stage("(Worker pid=26) [Stage-1] INFO 02-26 07:43:01 [a.py:1] Loaded"), wanted("Loaded"));
        assert_eq!(stage("[Stage-1] (Worker pid=26) INFO 02-26 07:43:01 [a.py:1] Loaded"), wanted("Loaded"));
        assert_eq!(stage("(Worker pid=26) [Stage-1] ValueError: x"), wanted("ValueError: x"));
        assert_eq!(stage("[Stage-x] INFO 02-26 07:43:01 [a.py:1] Loaded"), (None, None, "Loaded".to_owned()));
        assert_eq!(stage("[Stage-99999999999] y"), (None, None, "[Stage-99999999999] y".to_owned()));
    }

    #[test]
    fn a_record_glued_to_a_bar_is_a_record() {
        let text = "Bench iterations: 40%|██ | 2/5 [00:13<00:19,  6.59s/it]INFO 11-22 04:59:03 [loggers.py:273] Engine";
        let found = all(text);
        assert_eq!(found.len(), 2);
        assert!(found[0].1.starts_with("Bench iterations"));
        assert_eq!(found[1].1, "Engine");
    }

    #[test]
    fn a_line_without_prefix_is_its_own_message() {
        assert_eq!(
            all("(EngineCore pid=402) ValueError: x"),
            [(Some("EngineCore pid=402".into()), "ValueError: x".into())]
        );
        assert_eq!(
            all("GPU blocks: 2119, # CPU blocks: 2560"),
            [(None, "GPU blocks: 2119, # CPU blocks: 2560".into())]
        );
        for wrapper in ["2026-05-08 11:47:02.257 [Error] (Process) ", "2026-05-08T11:47:02Z [warn] "] {
            let found = all(&format!("{wrapper}(EngineCore pid=402) ValueError: x"));
            assert_eq!(found, [(Some("EngineCore pid=402".into()), "ValueError: x".into())], "{wrapper}");
        }
        assert_eq!(all("[info] x"), [(None, "[info] x".into())], "without a clock it may be anybody's");
        let ray = "(RayWorkerWrapper pid=7, ip=192.0.2.10) INFO 07-31 12:38:36 m.py:135] took 9 GB [repeated 6x across cluster]";
        let mut repeated = 0;
        each(ray, |r| repeated = r.repeated);
        assert_eq!(repeated, 6);
        assert_eq!(all(ray), [(Some("RayWorkerWrapper pid=7, ip=192.0.2.10".into()), "took 9 GB".into())]);
    }
}
