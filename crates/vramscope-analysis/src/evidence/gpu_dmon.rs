//! What `nvidia-smi dmon -o DT` writes, in columns of spaces or commas, as the CSV that `nvidia-smi --query-gpu` writes.
//!
//! Its first line names the columns behind `#`, the second one their units; both are repeated now and then. Each line
//! becomes one line, so that what is said of a line holds for the file.

use std::io::{self, BufRead, Read as _};

/// A longer line is none of its own.
const MAX_LINE: u64 = 4 << 10;

/// Its columns by the names of `--query-gpu`; `Time` goes with `Date`.
const NAMES: &[(&str, &str)] = &[
    ("gpu", "index"),
    ("fb", "memory.used [MiB]"),
    ("pwr", "power.draw [W]"),
    ("gtemp", "temperature.gpu"),
    ("mtemp", "temperature.memory"),
    ("sm", "utilization.gpu [%]"),
    ("mem", "utilization.memory [%]"),
    ("mclk", "clocks.mem [MHz]"),
    ("pclk", "clocks.sm [MHz]"),
];

/// Whether a log that begins so is one: no other begins with `#`.
pub(crate) fn begins(start: &[u8]) -> bool {
    start.trim_ascii_start().starts_with(b"#")
}

fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.split([' ', '\t', ',', '\r', '\n']).filter(|cell| !cell.is_empty())
}

/// The columns of a log, as its first line names them.
#[derive(Debug)]
struct Columns {
    /// The header line of the CSV.
    header: String,
    /// Where the date and the time of day stand.
    moment: Option<(usize, usize)>,
    /// Of each column, whether it is one of these.
    of_time: Vec<bool>,
}

impl Columns {
    fn of_header(names: &str) -> Self {
        let names: Vec<&str> = cells(names).collect();
        let place = |wanted| names.iter().position(|name| *name == wanted);
        let moment = place("Date").zip(place("Time"));
        let known = |name: &&str| NAMES.iter().find(|(theirs, _)| theirs == name).map(|(_, query)| *query);
        let called = names.iter().filter(|name| !is_time(name)).map(|name| known(name).unwrap_or(name));
        let header: Vec<&str> = moment.map(|_| "timestamp").into_iter().chain(called).collect();
        Self { header: header.join(","), moment, of_time: names.iter().map(|name| is_time(name)).collect() }
    }

    fn row(&self, line: &str) -> String {
        let row: Vec<&str> = cells(line).collect();
        let mut out: Vec<String> = Vec::new();
        if let Some((date, time)) = self.moment {
            out.extend(row.get(date).zip(row.get(time)).map(|(date, time)| moment(date, time)));
        }
        let named = row.iter().enumerate().filter(|(at, _)| !self.of_time.get(*at).is_some_and(|of_time| *of_time));
        out.extend(named.map(|(_, cell)| if *cell == "-" { "[N/A]".to_owned() } else { (*cell).to_owned() }));
        out.join(",")
    }
}

/// Reads it as CSV.
#[derive(Debug)]
pub(crate) struct AsCsv<R> {
    source: R,
    /// `None` before the header.
    columns: Option<Columns>,
    /// A line that is read and not given out yet.
    line: io::Cursor<Vec<u8>>,
}

/// What stands for a line of units or of repeated names: a line without any cell, which is counted and passed over. The
/// header in its place would make a long log of a short one.
const PASSED_OVER: &str = " ";

impl<R: BufRead> AsCsv<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, columns: None, line: io::Cursor::default() }
    }

    fn next_line(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        let got = self.source.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes)?;
        if got == 0 {
            return Ok(());
        }
        if !bytes.ends_with(b"\n") && bytes.len() as u64 == MAX_LINE {
            let why = format!("no line end within {MAX_LINE} bytes: this is not the output of nvidia-smi dmon");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut line = match (text.trim_start().strip_prefix('#'), &self.columns) {
            (Some(names), None) => self.columns.insert(Columns::of_header(names)).header.clone(),
            (Some(_), Some(_)) => PASSED_OVER.to_owned(),
            (None, Some(columns)) => columns.row(&text),
            // It begins with its header, or is none; a line that is cells alone is no header either.
            (None, None) => cells(&text).collect::<Vec<_>>().join(","),
        };
        // A line that was cut off stays so.
        if bytes.ends_with(b"\n") {
            line.push('\n');
        }
        self.line = io::Cursor::new(line.into_bytes());
        Ok(())
    }
}

fn is_time(name: &str) -> bool {
    matches!(name, "Date" | "Time")
}

/// `20261122` and `05:24:13`.
fn moment(date: &str, time: &str) -> String {
    let part = |range| date.get(range).unwrap_or_default();
    format!("{}/{}/{} {time}", part(0..4), part(4..6), part(6..8))
}

impl<R: BufRead> io::Read for AsCsv<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.line.read(out)? {
            0 if !out.is_empty() => self.next_line().and_then(|()| self.line.read(out)),
            n => Ok(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::gpu_log::{Clock, GpuLogError, Note, read};

    const TWO_GPUS: &str = "\
#Date       Time        gpu     sm    mem    enc    dec     fb   bar1   mclk   pclk    pwr  gtemp  mtemp
#YYYYMMDD   HH:MM:SS    Idx      %      %      %      %     MB     MB    MHz    MHz      W      C      C
 20261122   05:24:13      0     97     41      0      0  71240      2   2619   1980    412     61     70
 20261122   05:24:13      1      0      0      0      0      4      2   2619    345     71     33      -
#Date       Time        gpu     sm    mem    enc    dec     fb   bar1   mclk   pclk    pwr  gtemp  mtemp
#YYYYMMDD   HH:MM:SS    Idx      %      %      %      %     MB     MB    MHz    MHz      W      C      C
 20261122   05:24:14      0     98     42      0      0  71242      2   2619   1980    420     62     71
 20261122   05:24:14      1      0      0      0      0      4      2   2619    345     70     33      -
";

    #[test]
    fn a_log_of_dmon_is_a_timeline() {
        let log = read(TWO_GPUS.as_bytes()).unwrap();
        let samples = log.timeline.samples();
        assert_eq!((samples.len(), samples[2].tick, log.clock), (4, 1, Clock::LocalUnknown));
        assert!(log.notes.is_empty(), "{:?}", log.notes);
        let first = samples[0].reading;
        assert_eq!((first.used.get(), first.power_average_mw.or(first.power_mw)), (71_240 << 20, Some(412_000)));
        assert_eq!((first.utilization_pct, first.memory_utilization_pct), (Some(97), Some(41)));
        assert_eq!((first.sm_clock_mhz, first.memory_clock_mhz), (Some(1980), Some(2619)));
        assert_eq!((first.temperature_c, first.memory_temperature_c), (Some(61), Some(70)));
        assert_eq!(samples[1].reading.memory_temperature_c, None);
        assert_eq!(samples[2].at.as_millis(), 1000);
    }

    #[test]
    fn the_order_of_date_and_time_and_commas_do_not_matter() {
        let turned = TWO_GPUS.lines().map(|line| {
            let mut cells: Vec<&str> = line.trim_start_matches('#').split_whitespace().collect();
            cells.swap(0, 1);
            format!("{}{}\n", if line.starts_with('#') { "#" } else { "" }, cells.join(", "))
        });
        let turned = read(turned.collect::<String>().as_bytes()).unwrap();
        assert_eq!(turned.timeline.samples(), read(TWO_GPUS.as_bytes()).unwrap().timeline.samples());
    }

    #[test]
    fn repeated_names_are_not_multiplied_and_lines_are_still_counted() {
        use std::io::Read as _;
        let names = format!("#Date Time gpu fb {}\n", "x ".repeat(1500));
        let log = format!("{names}{} 20261122 05:24:13 0 junk{}\n", "#\n".repeat(9), " 1".repeat(1500));
        let mut text = String::new();
        super::AsCsv::new(log.as_bytes()).read_to_string(&mut text).unwrap();
        assert!(text.len() < 2 * log.len(), "{} bytes of {}", text.len(), log.len());
        let log =
            format!("{names}{} 20261122 05:24:13 0 7{}\n junk junk junk\n#\n", "#\n".repeat(9), " 1".repeat(1500));
        let log = read(log.as_bytes()).unwrap();
        assert_eq!(log.timeline.samples().len(), 1);
        assert!(matches!(log.notes[..], [Note::TornLastLine { line: 12, .. }]), "{:?}", log.notes);
    }

    #[test]
    fn more_devices_than_a_machine_has_are_refused_at_their_line() {
        let rows = |count: u32| (0..count).map(|d| format!(" 20261122   05:24:13   {d}   7\n")).collect::<String>();
        let log = |count| format!("#Date Time gpu fb\n#YYYYMMDD HH:MM:SS Idx MB\n{}", rows(count));
        assert_eq!(read(log(1024).as_bytes()).unwrap().timeline.devices().len(), 1024);
        let error = read(log(1025).as_bytes()).unwrap_err();
        assert!(matches!(error, GpuLogError::TooManyDevices { line: 1027, .. }), "{error:?}");
    }

    #[test]
    fn what_is_torn_junk_or_missing_is_named() {
        let torn = format!("{TWO_GPUS} 20261122   05:24:15      0     9");
        assert!(matches!(read(torn.as_bytes()).unwrap().notes[..], [Note::TornLastLine { line: 9, .. }]));
        let junk = TWO_GPUS.replace("2619   1980    412", "2619   1980    4x2");
        let notes = read(junk.as_bytes()).unwrap().notes;
        assert!(matches!(notes[..], [Note::Unreadable { line: 3, .. }]), "{notes:?}");
        let without = |header: &str| read(header.as_bytes()).unwrap_err().to_string();
        assert!(without("# gpu    pwr     fb\n# Idx      W     MB\n    0     70      4\n").contains("dmon -o DT"));
        assert!(without("#Date Time gpu pwr\n#YYYYMMDD HH:MM:SS Idx W\n 20261122 05:24:13 0 70\n").contains("-s m"));
        let endless = [b"#gpu ".as_slice(), &vec![b'x'; 1 << 20]].concat();
        assert!(matches!(read(endless.as_slice()), Err(GpuLogError::Read { .. })));
    }
}
